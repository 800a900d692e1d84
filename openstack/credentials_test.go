package openstack_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric/openstack"
)

func TestFromEnviron(t *testing.T) {
	got, ok := openstack.FromEnviron(openstack.Environ{"OS_AUTH_URL=http://k:5000/v3", "OS_USERNAME=admin", "OS_PASSWORD=a=b", "OS_TENANT_NAME=old", "OS_PROJECT_NAME=service",
		"OS_DEFAULT_DOMAIN=default", "OS_PROJECT_DOMAIN_NAME=Default", "OS_REGION_NAME=One", "OS_ENDPOINT_TYPE=internalURL", "OS_CACERT=/ca.pem", "OS_INSECURE=true"})
	want := openstack.Credentials{AuthURL: "http://k:5000/v3", Username: "admin", Password: "a=b", ProjectName: "service", UserDomainID: "default",
		ProjectDomainName: "Default", Region: "One", Interfaces: []string{"internal"}, CACert: "/ca.pem", Insecure: true, Source: "the OS_* variables"}
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Error(ok, diff)
	}
	if _, ok := openstack.FromEnviron(openstack.Environ{"OS_USERNAME=admin"}); ok {
		t.Error("without OS_AUTH_URL the variables say nothing")
	}
}

func TestFromClouds(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := write("clouds.yaml", `
clouds:
  lab:
    region_name: One
    interface: internal
    verify: false
    auth: {auth_url: "http://k:5000", username: ferric, project_name: service, default_domain: default}
  app:
    auth_type: v3applicationcredential
    cacert: /ca.pem
    auth: {auth_url: "https://k", application_credential_id: ac1, application_credential_secret: s}
  broken:
    auth: {auth_url: [geheim]}
`)
	write("secure.yaml", "clouds:\n  lab:\n    auth:\n      password: geheim\n")
	lab, err := openstack.FromClouds("lab", []string{filepath.Join(dir, "none.yaml"), file})
	if err != nil {
		t.Fatal(err)
	}
	want := openstack.Credentials{AuthURL: "http://k:5000", Username: "ferric", Password: "geheim", ProjectName: "service", UserDomainID: "default", ProjectDomainID: "default",
		Region: "One", Interfaces: []string{"internal"}, Insecure: true, Source: "cloud lab of " + file}
	if diff := cmp.Diff(want, lab); diff != "" {
		t.Error(diff)
	}
	app, err := openstack.FromClouds("app", []string{file})
	if err != nil || app.Check() != nil || app.CACert != "/ca.pem" || app.ApplicationCredentialID != "ac1" {
		t.Errorf("got %+v, %v", app, err)
	}
	for name, says := range map[string]string{"none": "has no cloud", "broken": "cannot unmarshal"} {
		if _, err := openstack.FromClouds(name, []string{file}); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("cloud %s: %v; want %q and no secret", name, err, says)
		}
	}
	if _, err := openstack.FromClouds("lab", []string{"/nowhere/clouds.yaml"}); err == nil || !strings.Contains(err.Error(), "/nowhere/clouds.yaml") {
		t.Errorf("without a file: %v", err)
	}
}

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		c    openstack.Credentials
		says string
	}{
		"nothing":                       {openstack.Credentials{}, "auth_url is missing"},
		"not a URL":                     {openstack.Credentials{AuthURL: "k:5000"}, "http://"},
		"no user":                       {openstack.Credentials{AuthURL: "http://k"}, "username is missing"},
		"no password":                   {openstack.Credentials{AuthURL: "http://k", Username: "u"}, "password is missing"},
		"no scope":                      {openstack.Credentials{AuthURL: "http://k", Username: "u", Password: "p"}, "project_name is missing"},
		"an odd scope":                  {openstack.Credentials{AuthURL: "http://k", Username: "u", Password: "p", SystemScope: "some"}, "only \"all\""},
		"a credential without secret":   {openstack.Credentials{AuthURL: "http://k", ApplicationCredentialID: "a"}, "secret is missing"},
		"a credential's name, no owner": {openstack.Credentials{AuthURL: "http://k", ApplicationCredentialName: "a", ApplicationCredentialSecret: "s"}, "needs username"},
		"a user for the system":         {openstack.Credentials{AuthURL: "http://k", Username: "u", Password: "p", SystemScope: "all"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.c.Check(); (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

// FuzzClouds: whatever the file holds, it is read or refused.
func FuzzClouds(f *testing.F) {
	f.Add([]byte("clouds: {x: {auth: {auth_url: http://k, password: p}}}"))
	f.Add([]byte("clouds: [1]"))
	f.Add([]byte("clouds: {x: &a {auth: *a}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "clouds.yaml")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := openstack.FromClouds("x", []string{file})
		if err == nil {
			_ = c.Check()
		}
	})
}
