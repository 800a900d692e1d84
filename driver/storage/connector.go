package storage

import (
	"ferric"
	"ferric/driver"
)

// connector says how the task's machine reaches volumes, by its volume connectors.
func connector(t *driver.Task) (Connector, error) {
	c := Connector{Host: t.Node.UUID}
	for _, v := range t.Connectors {
		switch {
		case v.Type == "iqn" && c.Initiator == "":
			c.Initiator = v.ConnectorID
		case v.Type == "ip" && c.IP == "":
			c.IP = v.ConnectorID
		case v.Type == "wwpn":
			c.WWPNs = append(c.WWPNs, v.ConnectorID)
		case v.Type == "wwnn":
			c.WWNNs = append(c.WWNNs, v.ConnectorID)
		default:
			t.Log.Warn("a volume connector is of no use for Cinder, or is the second one of its type", "connector", v.UUID, "type", v.Type)
		}
	}
	if c.Initiator == "" && len(c.WWPNs)+len(c.WWNNs) == 0 {
		return c, ferric.Errorf(ferric.CodeInvalid, "Insufficient or incompatible volume connection records for node %s. Valid connector types: wwpn, wwnn, iqn", t.Node.UUID)
	}
	c.Multipath = len(t.Connectors) > 1
	return c, nil
}
