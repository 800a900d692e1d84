package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"ferric"
	"ferric/config"
	"ferric/openstack"
	"ferric/openstack/keystone"
)

// openstackCommand sets up what the cloud must know of Ferric.
func openstackCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	for _, c := range openstackCommands() {
		if len(args) > 0 && args[0] == c.name {
			return c.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintln(stderr, "Usage: ferric openstack SUBCOMMAND [flags]")
	for _, c := range openstackCommands() {
		fmt.Fprintf(stderr, "  %-14s %s\n", c.name, c.help)
	}
	fmt.Fprintln(stderr, "\nAn administrator's credentials are taken from --os-cloud, OS_CLOUD or the OS_* variables, or else from the section [openstack].")
	if len(args) > 0 && slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		return 0
	}
	return 2
}

// openstackCommands are the subcommands of ferric openstack.
func openstackCommands() []command {
	return []command{
		{"register", "enter Ferric in Keystone's catalogue, and make its user if asked", registerCommand},
		{"upload-ramdisk", "put the deploy ramdisk's kernel and initramfs into Glance", uploadRamdiskCommand},
	}
}

// adminSession is a session with the credentials of the person who runs a command: a cloud that is named, OS_CLOUD or the OS_* variables, else [openstack].
func adminSession(cfg *config.Config, cloud string) (*openstack.Session, error) {
	o := cfg.OpenStack
	env := openstack.Environ(os.Environ())
	if _, ok := openstack.FromEnviron(env); ok || cloud != "" || env.Get("OS_CLOUD") != "" {
		o.Cloud, o.AuthURL = cmp.Or(cloud, env.Get("OS_CLOUD")), ""
		o.RegionName, o.ValidInterfaces = cmp.Or(env.Get("OS_REGION_NAME"), o.RegionName), nil
	}
	session, err := openCloud(&o, env, slog.New(slog.DiscardHandler))
	if err == nil && session == nil {
		err = ferric.Errorf(ferric.CodeInvalid, "nothing says where Keystone is and who you are there; give --os-cloud, or set OS_CLOUD or the OS_* variables, as for the openstack client")
	}
	return session, err
}

// registration are the flags of ferric openstack register.
type registration struct {
	cloud, region, name, typ     string
	url, internal, admin         string
	user, domain, project, roles string
	passwordFile                 string
}

// registerCommand enters Ferric in the catalogue.
func registerCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var r registration
	cfg, code := loadConfig("openstack register", args, stderr, func(fs *flag.FlagSet) {
		fs.StringVar(&r.cloud, "os-cloud", "", "entry of clouds.yaml with an administrator's credentials (default: $OS_CLOUD, else the OS_* variables)")
		fs.StringVar(&r.region, "region", "", "region of the endpoints (default: $OS_REGION_NAME, or openstack.region_name)")
		fs.StringVar(&r.url, "url", "", "URL of the API for everybody (default: api.public_endpoint)")
		fs.StringVar(&r.internal, "internal-url", "", "URL for the cloud's own services, such as Nova (default: --url)")
		fs.StringVar(&r.admin, "admin-url", "", "URL for administrators (default: --internal-url)")
		fs.StringVar(&r.name, "name", "ferric", "name of the service, if there is none of the type yet")
		fs.StringVar(&r.typ, "type", "baremetal", "type of the service")
		fs.StringVar(&r.user, "create-user", "", "make this user, which Ferric logs in as, if it does not exist, and give it its roles")
		fs.StringVar(&r.domain, "user-domain", "default", "id or name of the domain of the user and its project")
		fs.StringVar(&r.project, "user-project", "service", "project of the user")
		fs.StringVar(&r.roles, "user-roles", "admin,service", "roles of the user in the project: service lets it ask about tokens, admin lets it bind ports and see everybody's images")
		fs.StringVar(&r.passwordFile, "password-file", "", "file with the new user's password (default: openstack.password)")
	})
	if cfg == nil {
		return code
	}
	if err := r.do(ctx, cfg, func(line string) { fmt.Fprintln(stdout, line) }); err != nil {
		return fail(stderr, err)
	}
	return 0
}

func (r *registration) do(ctx context.Context, cfg *config.Config, tell func(string)) error {
	public := cmp.Or(r.url, cfg.API.PublicEndpoint)
	if public == "" {
		return ferric.Errorf(ferric.CodeInvalid, "it is not said where the API can be reached; give --url or set api.public_endpoint")
	}
	internal := cmp.Or(r.internal, public)
	want := keystone.Registration{Type: r.typ, Name: r.name, Description: "Bare metal provisioning",
		URLs: map[string]string{"public": public, "internal": internal, "admin": cmp.Or(r.admin, internal)}}
	if r.user != "" {
		password := string(cfg.OpenStack.Password)
		if r.passwordFile != "" {
			text, err := os.ReadFile(r.passwordFile)
			if err != nil {
				return ferric.Errorf(ferric.CodeInvalid, "--password-file: %w", err)
			}
			if password = strings.TrimRight(string(text), "\r\n"); password == "" {
				return ferric.Errorf(ferric.CodeInvalid, "--password-file: %s is empty", r.passwordFile)
			}
		}
		want.User = &keystone.User{Name: r.user, Domain: r.domain, Project: r.project, Password: password,
			Roles: strings.FieldsFunc(r.roles, func(c rune) bool { return c == ',' || c == ' ' })}
	}
	session, err := adminSession(cfg, r.cloud)
	if err != nil {
		return err
	}
	defer session.Close()
	want.Region = cmp.Or(r.region, session.Credentials().Region)
	err = keystone.Register(ctx, session, want, tell)
	if openstack.Is(err, openstack.Forbidden) {
		err = errors.Join(err, errors.New("only an administrator may do that: use an administrator's credentials (OS_CLOUD, OS_*)"))
	}
	return err
}
