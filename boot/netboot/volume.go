package netboot

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ferric"
	"ferric/boot"
	"ferric/driver"
)

var _ driver.VolumeBoot = (*Boot)(nil)

// BootsVolume implements driver.VolumeBoot.
func (b *Boot) BootsVolume(volumeType string) bool {
	return b.Flavor == boot.FlavorIPXE && volumeType == "iscsi"
}

// bootVolume returns the volume that the deployed machine boots from over the network, nil for none.
func (b *Boot) bootVolume(t *driver.Task) *ferric.VolumeTarget {
	v := t.BootVolume()
	if v == nil || !b.BootsVolume(strings.ToLower(v.Type)) || t.Node.InternalInfo["boot_from_volume"] != v.UUID {
		return nil
	}
	return v
}

// prepareVolume publishes the way to the machine's volumes and lets it boot from the network for good.
func (b *Boot) prepareVolume(ctx context.Context, t *driver.Task, first *ferric.VolumeTarget) error {
	if err := b.Validate(ctx, t.Machine); err != nil {
		return err
	}
	c := boot.Config{NodeUUID: t.Node.UUID, MACs: bootMACs(t.Machine), Flavor: b.Flavor, Mode: boot.ModeVolume}
	for _, v := range t.Connectors {
		if v.Type == "iqn" && c.Initiator == "" {
			c.Initiator = v.ConnectorID
		}
	}
	targets := slices.DeleteFunc(slices.Clone(t.Targets), func(v *ferric.VolumeTarget) bool { return v != first && strings.ToLower(v.Type) != "iscsi" })
	slices.SortStableFunc(targets, func(a, b *ferric.VolumeTarget) int { return a.BootIndex - b.BootIndex })
	if i := slices.Index(targets, first); i > 0 {
		targets = slices.Insert(slices.Delete(targets, i, i+1), 0, first)
	}
	for _, v := range targets {
		volume, err := iscsi(v)
		if err != nil {
			return err
		}
		c.Volumes = append(c.Volumes, volume)
	}
	if err := b.Files.Unshare(ctx, t.Node.UUID); err != nil {
		return err
	}
	if err := b.Publisher.Publish(ctx, c); err != nil {
		return err
	}
	if err := b.tellDHCP(ctx, t); err != nil {
		return err
	}
	return t.Set.Management().SetBootDevice(ctx, t.Machine, ferric.BootPXE, true)
}

// iscsi reads from a volume target's properties, which have Cinder's names, how the volume is reached.
func iscsi(v *ferric.VolumeTarget) (boot.Volume, error) {
	fail := func(format string, args ...any) (boot.Volume, error) {
		return boot.Volume{}, ferric.Errorf(ferric.CodeInvalid, "volume target %s: properties: %w", v.UUID, ferric.Errorf(ferric.CodeInvalid, format, args...))
	}
	list := func(name string) (out []string) {
		for _, key := range []string{name + "s", name} {
			switch x := v.Properties[key].(type) {
			case nil:
			case []any:
				for _, item := range x {
					out = append(out, number(item))
				}
			default:
				out = append(out, number(x))
			}
			if len(out) > 0 {
				return out
			}
		}
		return nil
	}
	portals, names, luns := list("target_portal"), list("target_iqn"), list("target_lun")
	if len(portals) == 0 || len(names) == 0 || len(luns) == 0 {
		return fail("target_portal, target_iqn and target_lun must say where the volume is; is it attached?")
	}
	out := boot.Volume{}
	out.Username, _ = v.Properties["auth_username"].(string)
	out.Password, _ = v.Properties["auth_password"].(string)
	for i, portal := range portals {
		host, port, err := split(portal)
		if err != nil {
			return fail("target_portal %q: %w", portal, err)
		}
		name, lun := names[min(i, len(names)-1)], luns[min(i, len(luns)-1)]
		n, err := strconv.ParseUint(lun, 10, 16)
		if err != nil {
			return fail("target_lun %q is no number", lun)
		}
		out.URLs = append(out.URLs, fmt.Sprintf("iscsi:%s::%s:%x:%s", host, port, n, name))
	}
	return out, nil
}

// number writes what JSON holds as text.
func number(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// split takes a portal apart, "host:port" or "host"; an IPv6 address keeps its brackets, which iPXE wants.
func split(portal string) (host, port string, err error) {
	if a, err := netip.ParseAddr(strings.Trim(portal, "[]")); err == nil {
		if a.Is6() {
			return "[" + a.String() + "]", "", nil
		}
		return a.String(), "", nil
	}
	if !strings.Contains(portal, ":") {
		return portal, "", nil
	}
	if host, port, err = net.SplitHostPort(portal); err != nil {
		return "", "", err
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" || host == "[]" {
		return "", "", ferric.Errorf(ferric.CodeInvalid, "must be an address and a port, such as 192.0.2.1:3260")
	}
	return host, port, nil
}
