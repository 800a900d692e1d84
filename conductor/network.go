package conductor

import (
	"context"
	"encoding/json"
	"errors"

	"ferric"
	"ferric/driver"
)

// fits asks an interface of a node whether it can do its part in an operation for a purpose. While another service gives no answer nothing is known against it:
// the operation begins, and waits when it comes to that.
func fits(ctx context.Context, t *driver.Task, kind ferric.InterfaceKind, purpose driver.NetworkPurpose) error {
	impl := t.Set.Get(kind)
	err := impl.Validate(ctx, t.Machine)
	if v, ok := impl.(driver.PurposeValidator); ok && err == nil {
		err = v.ValidateFor(ctx, t.Machine, purpose)
	}
	var pending *driver.Pending
	if errors.As(err, &pending) {
		t.Log.Warn("an operation begins although it is not known whether the node is fit for it", "interface", kind, "because", err)
		return nil
	}
	return err
}

// withNetworkData gives a config drive that is described by a JSON object the network_data that its node's network interface knows, if its own is missing or says
// nothing. A config drive that comes as an image or a URL is its maker's business.
func withNetworkData(ctx context.Context, t *driver.Task, raw json.RawMessage) (json.RawMessage, error) {
	network, ok := t.Set.Network().(driver.NetworkData)
	var drive map[string]any
	if !ok || json.Unmarshal(raw, &drive) != nil || drive == nil || saysSomething(drive["network_data"]) {
		return raw, nil
	}
	data, err := network.NetworkData(ctx, t.Machine)
	if err != nil || data == nil {
		return raw, err
	}
	drive["network_data"] = data
	return json.Marshal(drive)
}

// saysSomething reports whether a network_data describes anything: some of Nova's versions sent lists of empty objects.
func saysSomething(v any) bool {
	if text, ok := v.(string); ok { // JSON in a string, or nonsense that the config drive's maker is told of
		return text != ""
	}
	doc, _ := v.(map[string]any)
	links, _ := doc["links"].([]any)
	for _, l := range links {
		if link, ok := l.(map[string]any); ok && len(link) > 0 {
			return true
		}
	}
	networks, _ := doc["networks"].([]any)
	services, _ := doc["services"].([]any)
	return len(links) == 0 && len(networks)+len(services) > 0
}
