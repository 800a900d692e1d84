package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ferric/config"
	"ferric/openstack"
)

// TestCloudCredentials: which of the places counts that say who Ferric is, and what [openstack] changes in the others.
func TestCloudCredentials(t *testing.T) {
	clouds := filepath.Join(t.TempDir(), "clouds.yaml")
	if err := os.WriteFile(clouds, []byte("clouds: {lab: {region_name: FromCloud, auth: {auth_url: 'http://cloud', username: c, password: p, project_name: s}}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	variables := openstack.Environ{"OS_AUTH_URL=http://env", "OS_USERNAME=e", "OS_PASSWORD=p", "OS_PROJECT_NAME=s", "OS_INTERFACE=public"}
	file := "OS_CLIENT_CONFIG_FILE=" + clouds
	own := config.OpenStack{AuthURL: "http://own", Username: "o", Password: "p", ProjectName: "s"}
	for name, c := range map[string]struct {
		settings           config.OpenStack
		env                openstack.Environ
		url, region, iface string
		says               string
	}{
		"nothing":                                {config.OpenStack{}, nil, "", "", "", ""},
		"the settings win":                       {own, append(variables, "OS_CLOUD=lab", file), "http://own", "", "", ""},
		"a cloud that the settings name":         {config.OpenStack{Cloud: "lab", CloudsFile: clouds}, nil, "http://cloud", "FromCloud", "", ""},
		"a cloud that the environment names":     {config.OpenStack{}, append(variables, "OS_CLOUD=lab", file), "http://cloud", "FromCloud", "public", ""},
		"variables":                              {config.OpenStack{}, variables, "http://env", "", "public", ""},
		"variables, and settings beside":         {config.OpenStack{RegionName: "R", ValidInterfaces: []string{"admin", "internal"}}, variables, "http://env", "R", "admin internal", ""},
		"variables, and a region in them":        {config.OpenStack{Cloud: "lab", CloudsFile: clouds}, openstack.Environ{"OS_REGION_NAME=FromEnv"}, "http://cloud", "FromEnv", "", ""},
		"half of the variables":                  {config.OpenStack{}, variables[:2], "", "", "", "password is missing"},
		"a cloud that is not there":              {config.OpenStack{Cloud: "none", CloudsFile: clouds}, nil, "", "", "", `no cloud "none"`},
		"variables and settings are not blended": {config.OpenStack{Username: "o", Password: "q"}, variables, "http://env", "", "public", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok, err := cloudCredentials(&c.settings, c.env)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %q", err, c.says)
				}
				return
			}
			if err != nil || ok != (c.url != "") || got.AuthURL != c.url || got.Region != c.region || strings.Join(got.Interfaces, " ") != c.iface {
				t.Errorf("got %v %v, %s in %q at %v", ok, err, got.AuthURL, got.Region, got.Interfaces)
			}
			if c.url == "http://env" && got.Username != "e" {
				t.Errorf("the user is %s", got.Username)
			}
		})
	}
}

// TestServeNeedsKeystone: with auth_strategy keystone and nothing that says where Keystone is, the start fails and says what to set.
func TestServeNeedsKeystone(t *testing.T) {
	for _, v := range []string{"OS_AUTH_URL", "OS_CLOUD"} {
		t.Setenv(v, "")
	}
	code, text := ferricRun(t.Context(), "serve", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--set", "api.auth_strategy=keystone")
	if code != 1 || !strings.Contains(text, "openstack.auth_url") {
		t.Errorf("exit %d\n%s", code, text)
	}
}
