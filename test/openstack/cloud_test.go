package openstack

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
)

// account is a user with what he may see: what Keystone is asked a token with.
type account struct {
	User, Password, Project, Domain string
}

// cloud is the OpenStack that the tests run against.
type cloud struct {
	AuthURL string
	Region  string
	Admin   account
	Service account // what Ferric logs in as: roles admin and service in the project service
	// Catalogue is where the catalogue's bare metal endpoint points to: a Ferric that Nova or Neutron's agent is to find listens there.
	Catalogue string
	AMQP      string // of RabbitMQ, with user and password
	provider  *gophercloud.ProviderClient
}

// newCloud skips the test unless FERRIC_OPENSTACK is set, and logs in as the administrator. What the environment does not say is as
// stack/up.sh leaves it: OS_AUTH_URL, OS_REGION_NAME, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME, OS_USER_DOMAIN_NAME of an administrator;
// FERRIC_SERVICE_USERNAME and FERRIC_SERVICE_PASSWORD of the user that Ferric logs in as; BAREMETAL_URL; AMQP_URL.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	if os.Getenv("FERRIC_OPENSTACK") == "" {
		t.Skip("FERRIC_OPENSTACK is not set: make test-openstack brings a cloud up and runs this test in it")
	}
	env := func(name, fallback string) string { return cmp.Or(os.Getenv(name), fallback) }
	domain := env("OS_USER_DOMAIN_NAME", "Default")
	password := env("OS_PASSWORD", "secret")
	c := &cloud{
		AuthURL: env("OS_AUTH_URL", "http://127.0.0.1:5000/v3"), Region: env("OS_REGION_NAME", "RegionOne"),
		Admin: account{User: env("OS_USERNAME", "admin"), Password: password, Project: env("OS_PROJECT_NAME", "admin"), Domain: domain},
		Service: account{User: env("FERRIC_SERVICE_USERNAME", "ironic"), Password: env("FERRIC_SERVICE_PASSWORD", password),
			Project: "service", Domain: domain},
		Catalogue: env("BAREMETAL_URL", "http://127.0.0.1:26385"), AMQP: env("AMQP_URL", "amqp://guest:guest@127.0.0.1:25673/"),
	}
	c.provider = c.login(t, c.Admin)
	return c
}

// login gets a token of a user.
func (c *cloud) login(t *testing.T, a account) *gophercloud.ProviderClient {
	t.Helper()
	p, err := openstack.AuthenticatedClient(t.Context(), gophercloud.AuthOptions{IdentityEndpoint: c.AuthURL, Username: a.User,
		Password: a.Password, TenantName: a.Project, DomainName: a.Domain, AllowReauth: true})
	if err != nil {
		t.Fatalf("log in at %s as %s: %v", c.AuthURL, a.User, err)
	}
	p.HTTPClient = http.Client{Timeout: 2 * time.Minute}
	return p
}

// endpoint says how a service is looked up in the catalogue.
func (c *cloud) endpoint() gophercloud.EndpointOpts {
	return gophercloud.EndpointOpts{Region: c.Region}
}

// service makes a client of a service with one of gophercloud's functions, such as openstack.NewImageV2, in the administrator's name.
func (c *cloud) service(t *testing.T, make func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)) *gophercloud.ServiceClient {
	t.Helper()
	s, err := make(c.provider, c.endpoint())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// env are the variables by which a process logs in as a user.
func (c *cloud) env(a account) []string {
	return []string{"OS_AUTH_TYPE=password", "OS_AUTH_URL=" + c.AuthURL, "OS_USERNAME=" + a.User, "OS_PASSWORD=" + a.Password,
		"OS_PROJECT_NAME=" + a.Project, "OS_USER_DOMAIN_NAME=" + a.Domain, "OS_PROJECT_DOMAIN_NAME=" + a.Domain, "OS_REGION_NAME=" + c.Region,
		"OS_IDENTITY_API_VERSION=3"}
}

// unique makes a name that nobody else in the cloud has.
func unique(t *testing.T) string {
	return "ferric-" + strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + "-" + strings.ToLower(rand.Text()[:8])
}

// later runs something when the test ends, with a context that is then still good. What is deleted so may be gone already.
func later(t *testing.T, f func(ctx context.Context)) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		f(ctx)
	})
}

// check ends the test if a call failed.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
