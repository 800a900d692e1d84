package openstack

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"ferric"
)

// cloud is an entry of clouds.yaml. What Ferric does not know there is left alone.
type cloud struct {
	Auth struct {
		AuthURL                     string `yaml:"auth_url"`
		Username                    string `yaml:"username"`
		UserID                      string `yaml:"user_id"`
		Password                    string `yaml:"password"`
		UserDomainName              string `yaml:"user_domain_name"`
		UserDomainID                string `yaml:"user_domain_id"`
		ProjectName                 string `yaml:"project_name"`
		ProjectID                   string `yaml:"project_id"`
		ProjectDomainName           string `yaml:"project_domain_name"`
		ProjectDomainID             string `yaml:"project_domain_id"`
		DomainName                  string `yaml:"domain_name"`
		DomainID                    string `yaml:"domain_id"`
		DefaultDomain               string `yaml:"default_domain"`
		SystemScope                 string `yaml:"system_scope"`
		TrustID                     string `yaml:"trust_id"`
		ApplicationCredentialID     string `yaml:"application_credential_id"`
		ApplicationCredentialName   string `yaml:"application_credential_name"`
		ApplicationCredentialSecret string `yaml:"application_credential_secret"`
		Token                       string `yaml:"token"`
	} `yaml:"auth"`
	RegionName   string `yaml:"region_name"`
	Interface    string `yaml:"interface"`
	EndpointType string `yaml:"endpoint_type"`
	Verify       *bool  `yaml:"verify"`
	CACert       string `yaml:"cacert"`
	Cert         string `yaml:"cert"`
	Key          string `yaml:"key"`
}

// CloudFiles are the places where clouds.yaml is looked for: OS_CLIENT_CONFIG_FILE alone if it is set, else the working directory, the
// user's configuration and /etc/openstack. The first that exists is used. secure.yaml stands beside it.
func CloudFiles(env Environ) []string {
	if file := env.Get("OS_CLIENT_CONFIG_FILE"); file != "" {
		return []string{file}
	}
	files := []string{"clouds.yaml"}
	if dir := env.Get("XDG_CONFIG_HOME"); dir != "" {
		files = append(files, filepath.Join(dir, "openstack", "clouds.yaml"))
	} else if home := env.Get("HOME"); home != "" {
		files = append(files, filepath.Join(home, ".config", "openstack", "clouds.yaml"))
	}
	return append(files, "/etc/openstack/clouds.yaml")
}

// FromClouds reads the entry name of the first of the files that exists, with what secure.yaml beside it adds. Vendor profiles are not known.
func FromClouds(name string, files []string) (Credentials, error) {
	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Credentials{}, ferric.Errorf(ferric.CodeInvalid, "read clouds.yaml: %w", err)
		}
		beside := filepath.Join(filepath.Dir(file), "secure.yaml")
		secure, err := os.ReadFile(beside)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Credentials{}, ferric.Errorf(ferric.CodeInvalid, "read secure.yaml: %w", err)
		}
		return readClouds(name, file, data, beside, secure)
	}
	return Credentials{}, ferric.Errorf(ferric.CodeInvalid, "cloud %q: there is no clouds.yaml; looked for %s", name, strings.Join(files, ", "))
}

// readClouds reads an entry; what is set in secure wins.
func readClouds(name, file string, data []byte, beside string, secure []byte) (Credentials, error) {
	entry, found := cloud{}, false
	for _, part := range []struct {
		file string
		data []byte
	}{{file, data}, {beside, secure}} {
		var doc struct {
			Clouds map[string]yaml.Node `yaml:"clouds"`
		}
		if len(bytes.TrimSpace(part.data)) == 0 {
			continue
		}
		if err := yaml.Unmarshal(part.data, &doc); err != nil {
			return Credentials{}, ferric.Errorf(ferric.CodeInvalid, "%s is not YAML with clouds: %s", part.file, quiet(err))
		}
		node, ok := doc.Clouds[name]
		if !ok {
			continue
		}
		found = true
		if err := node.Decode(&entry); err != nil {
			return Credentials{}, ferric.Errorf(ferric.CodeInvalid, "%s: cloud %q: %s", part.file, name, quiet(err))
		}
	}
	if !found {
		return Credentials{}, ferric.Errorf(ferric.CodeInvalid, "%s has no cloud %q", file, name)
	}
	a := entry.Auth
	c := Credentials{
		AuthURL: a.AuthURL, Username: a.Username, UserID: a.UserID, Password: a.Password, UserDomainName: a.UserDomainName, UserDomainID: a.UserDomainID,
		ProjectName: a.ProjectName, ProjectID: a.ProjectID, ProjectDomainName: a.ProjectDomainName, ProjectDomainID: a.ProjectDomainID,
		DomainName: a.DomainName, DomainID: a.DomainID, SystemScope: a.SystemScope, TrustID: a.TrustID,
		ApplicationCredentialID: a.ApplicationCredentialID, ApplicationCredentialName: a.ApplicationCredentialName,
		ApplicationCredentialSecret: a.ApplicationCredentialSecret, Token: a.Token,
		Region: entry.RegionName, CACert: entry.CACert, Cert: entry.Cert, Key: entry.Key,
		Insecure: entry.Verify != nil && !*entry.Verify, Source: "cloud " + name + " of " + file,
	}
	c.setDefaultDomain(a.DefaultDomain, "")
	for _, i := range []string{entry.EndpointType, entry.Interface} {
		if i != "" {
			c.Interfaces = []string{strings.TrimSuffix(i, "URL")}
			break
		}
	}
	return c, nil
}

// quiet is a YAML error without the values that it may quote, which may be secrets: the lines and what was wrong stay.
func quiet(err error) string {
	text := err.Error()
	for {
		from := strings.IndexByte(text, '`')
		if from < 0 {
			return text
		}
		to := strings.IndexByte(text[from+1:], '`')
		if to < 0 {
			return text[:from] + "******"
		}
		text = text[:from] + "******" + text[from+1+to+1:]
	}
}
