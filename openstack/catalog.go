package openstack

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// Service says which service a client is for.
type Service struct {
	Type       string   // as in OpenStack's list of service types, or an alias: "image", "network", "block-storage", "compute", "identity", "baremetal"
	Name       string   // of the service in the catalogue, "" for any
	Region     string   // "": the session's
	Interfaces []string // the preferred one first; none: the session's
	Endpoint   string   // instead of the catalogue's URL; "" for none
}

// aliases are the other names under which catalogues have services, the preferred one first.
var aliases = map[string][]string{
	"baremetal":               {"bare-metal"},
	"block-storage":           {"volumev3", "block-store", "volume"},
	"baremetal-introspection": {},
	"compute":                 {},
	"identity":                {},
	"image":                   {},
	"network":                 {},
	"object-store":            {},
	"placement":               {},
}

// names are what people call services.
var names = map[string]string{"baremetal": "the bare metal service", "block-storage": "Cinder", "compute": "Nova", "identity": "Keystone", "image": "Glance",
	"network": "Neutron", "object-store": "Swift", "placement": "Placement"}

// official is the service's type in OpenStack's list.
func official(typ string) string {
	for t, others := range aliases {
		if t == typ || slices.Contains(others, typ) {
			return t
		}
	}
	return typ
}

// serviceName is what a service is called in messages.
func serviceName(typ string) string { return cmp.Or(names[official(typ)], "service "+typ) }

// Client returns a client of a service. It needs the network when there is no valid token yet.
func (s *Session) Client(ctx context.Context, service Service) (*gophercloud.ServiceClient, error) {
	endpoint, err := s.Endpoint(ctx, service)
	if err != nil {
		return nil, err
	}
	typ := official(service.Type)
	name := serviceName(service.Type)
	provider := &gophercloud.ProviderClient{HTTPClient: *s.HTTPClient(service.Type)}
	provider.UserAgent.Prepend("ferric")
	provider.UseTokenLock()
	// gophercloud asks this function about every error; it is where errors get their form. Repetition is the transport's.
	provider.RetryFunc = func(_ context.Context, method, url string, _ *gophercloud.RequestOpts, err error, _ uint) error {
		return failure(name, method, url, err)
	}
	provider.EndpointLocator = func(gophercloud.EndpointOpts) (string, error) { return endpoint, nil }
	client := &gophercloud.ServiceClient{ProviderClient: provider, Type: typ}
	client.Endpoint, client.ResourceBase = versioned(typ, endpoint)
	return client, nil
}

// Endpoint returns the URL of a service as the catalogue has it, with a slash at its end.
func (s *Session) Endpoint(ctx context.Context, service Service) (string, error) {
	if override := cmp.Or(service.Endpoint, s.options.Endpoints[service.Type], s.options.Endpoints[official(service.Type)]); override != "" {
		return gophercloud.NormalizeURL(override), nil
	}
	t, err := s.current(ctx)
	if err != nil {
		return "", err
	}
	interfaces := service.Interfaces
	if len(interfaces) == 0 {
		interfaces = s.interfaces()
	}
	region := cmp.Or(service.Region, s.credentials.Region)
	if found := find(t.catalog, service, region, interfaces); found != "" {
		u, err := url.Parse(found)
		if err != nil || u.Host == "" {
			return "", &Error{Kind: NoEndpoint, Service: serviceName(service.Type), URL: bareURL(found),
				Message: fmt.Sprintf("the catalogue's URL of %s cannot be used: %s", serviceName(service.Type), bareURL(found))}
		}
		return gophercloud.NormalizeURL(found), nil
	}
	return "", &Error{Kind: NoEndpoint, Service: serviceName(service.Type), Message: fmt.Sprintf(
		"the catalogue that Keystone gives to %s has no %s with interface %s%s; register it there, or correct region_name and valid_interfaces",
		s.credentials.who(), describe(service), strings.Join(interfaces, " or "), inRegion(region))}
}

func describe(service Service) string {
	text := serviceName(service.Type)
	if names[official(service.Type)] != "" {
		text += " (service type " + official(service.Type) + ")"
	}
	if service.Name != "" {
		text += " named " + service.Name
	}
	return text
}

func inRegion(region string) string {
	if region == "" {
		return ""
	}
	return " in region " + region
}

// interfaces are the session's.
func (s *Session) interfaces() []string {
	if len(s.credentials.Interfaces) > 0 {
		return s.credentials.Interfaces
	}
	return []string{"internal", "public"}
}

// find looks a service up: its types in order of preference, of each the interfaces in order of preference.
func find(catalog []tokens.CatalogEntry, service Service, region string, interfaces []string) string {
	typ := official(service.Type)
	for _, t := range append([]string{typ}, aliases[typ]...) {
		for _, i := range interfaces {
			for _, entry := range catalog {
				if entry.Type != t || service.Name != "" && entry.Name != service.Name {
					continue
				}
				for _, e := range entry.Endpoints {
					if e.Interface == i && (region == "" || e.Region == region || e.RegionID == region) && e.URL != "" {
						return e.URL
					}
				}
			}
		}
	}
	return ""
}

var version = regexp.MustCompile(`/v\d+(\.\d+)?/$`)

// versioned makes of the catalogue's URL, which may name a version or not, what gophercloud's functions begin URLs with.
func versioned(typ, endpoint string) (base, resources string) {
	bare := version.ReplaceAllString(endpoint, "/")
	switch typ {
	case "image":
		return bare, bare + "v2/"
	case "network":
		return bare, bare + "v2.0/"
	case "identity":
		return bare + "v3/", ""
	case "baremetal":
		return bare, bare + "v1/"
	case "compute":
		if bare == endpoint && !strings.Contains(endpoint, "/v2") {
			return endpoint + "v2.1/", ""
		}
	case "block-storage":
		if bare == endpoint && !strings.Contains(endpoint, "/v3/") {
			return endpoint + "v3/", ""
		}
	}
	return endpoint, ""
}
