package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/api"
	"ferric/config"
	"ferric/openstack"
	"ferric/openstack/keystone"
)

// cloudTime bounds how long the doctor waits for the cloud.
const cloudTime = 10 * time.Second

// cloudFindings tells what is not well between Ferric and Keystone: whether it can be reached, knows us, lets us ask about tokens, and sends others to us. A
// nil session is none: then there is nothing to look at, unless the API needs one.
func cloudFindings(ctx context.Context, cfg *config.Config, cloud *openstack.Session) []ferric.Finding {
	if cloud == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, cloudTime)
	defer cancel()
	who, err := cloud.Identity(ctx)
	if err != nil {
		return []ferric.Finding{keystoneFinding(cloud, err)}
	}
	if cfg.API.AuthStrategy != api.Keystone {
		return nil
	}
	var out []ferric.Finding
	if !slices.ContainsFunc(who.Roles, func(r string) bool { return strings.EqualFold(r, "service") || strings.EqualFold(r, "admin") }) {
		scope := "the project " + who.ProjectName
		if who.System {
			scope = "the system"
		}
		out = append(out, ferric.Finding{Code: "keystone-role-missing", Severity: ferric.FindingError,
			What: fmt.Sprintf("Ferric's user %s has the roles %s in %s, and neither service nor admin", who.UserName, strings.Join(who.Roles, ", "), scope),
			Why:  "Keystone does not let it ask whose tokens clients send, so all of them get 503",
			Do:   fmt.Sprintf("openstack role add --user %s --project %s service", who.UserName, who.ProjectID)})
	} else if err := validator(cfg, cloud, nil).Check(ctx); err != nil {
		out = append(out, keystoneFinding(cloud, err))
	}
	return append(out, catalogueFindings(ctx, cfg, cloud)...)
}

// keystoneFinding says why Keystone is of no use.
func keystoneFinding(cloud *openstack.Session, err error) ferric.Finding {
	f := ferric.Finding{Code: "keystone-unreachable", Severity: ferric.FindingError, What: "Keystone at " + cloud.AuthURL() + " cannot be asked", Why: err.Error(),
		Do: "look whether Keystone runs, at auth_url, cafile and the network between this host and it; clients whose tokens are known go on for a while (keystone_authtoken.token_cache_grace)"}
	if openstack.Is(err, openstack.Unauthorized) || openstack.Is(err, openstack.Forbidden) {
		f.Code, f.What = "keystone-refuses-us", "Keystone does not accept Ferric's own user"
		f.Do = "correct user, password and project in " + cloud.Credentials().Source + "; ferric openstack register --create-user makes such a user"
	}
	return f
}

// catalogueFindings looks at where the catalogue sends others who look for the bare metal service.
func catalogueFindings(ctx context.Context, cfg *config.Config, cloud *openstack.Session) []ferric.Finding {
	var out []ferric.Finding
	asked := map[string]bool{}
	region := cloud.Credentials().Region
	register := "ferric openstack register --url URL"
	if region != "" {
		register += " --region " + region
	}
	for _, i := range keystone.Interfaces {
		endpoint, err := cloud.Endpoint(ctx, openstack.Service{Type: cfg.KeystoneAuthToken.ServiceType, Interfaces: []string{i}})
		switch {
		case openstack.Is(err, openstack.NoEndpoint):
			f := ferric.Finding{Code: "not-in-catalogue", Severity: ferric.FindingWarning, What: "Keystone's catalogue has no " + i + " endpoint of the bare metal service", Why: err.Error(), Do: register}
			if i == "admin" && len(out) == 0 { // few need that one
				f.Severity = ferric.FindingNotice
			}
			out = append(out, f)
			continue
		case err != nil:
			return append(out, keystoneFinding(cloud, err))
		}
		public := strings.TrimRight(cfg.API.PublicEndpoint, "/")
		at := strings.TrimSuffix(strings.TrimRight(endpoint, "/"), "/v1")
		if i == "public" && public != "" && public != at {
			out = append(out, ferric.Finding{Code: "catalogue-elsewhere", Severity: ferric.FindingWarning,
				What: fmt.Sprintf("the catalogue's public endpoint of the bare metal service is %s, and api.public_endpoint is %s", at, public),
				Why:  "Ferric was moved or is not registered, or another Ironic is", Do: register})
			continue
		}
		if asked[at] {
			continue
		}
		asked[at] = true
		if err := isFerric(ctx, at); err != nil {
			out = append(out, ferric.Finding{Code: "catalogue-elsewhere", Severity: ferric.FindingWarning,
				What: fmt.Sprintf("the catalogue's %s endpoint of the bare metal service, %s, does not lead to Ferric", i, at), Why: err.Error(), Do: register})
		}
	}
	return out
}

// isFerric asks a URL who is there: only Ferric has its own description, which needs no token.
func isFerric(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/ferric/v1/openapi.json", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return fmt.Errorf("something else answers there: %s to /ferric/v1/openapi.json", resp.Status)
	}
	return nil
}
