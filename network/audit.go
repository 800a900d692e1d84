package network

import (
	"context"
	"net/url"

	"ferric"
	"ferric/driver"
)

// Strays implements driver.PortAuditor. It asks Neutron once.
func (i *Interface) Strays(ctx context.Context) ([]driver.Stray, error) {
	all, err := i.Client.Ports(ctx, url.Values{attrOwner: {ownerBareMetal}})
	if err != nil {
		return nil, ferric.Errorf(ferric.ErrorCode(err), "Neutron: list the ports of bare metal: %w", err)
	}
	var out []driver.Stray
	for _, p := range all {
		if purpose, port, ok := parseName(p.Name); ok {
			out = append(out, driver.Stray{ID: p.ID, Name: p.Name, Port: port, Purpose: purpose})
		}
	}
	return out, nil
}
