package fake

import (
	"context"
	"encoding/json"
	"hash/fnv"

	"ferric"
)

// stateName is the name under which States keeps a machine's memory.
const stateName = "fake"

// memory is what a fake machine remembers. What is missing is as it came from the factory.
type memory struct {
	Boot       *bootSetting      `json:"boot,omitempty"`
	BootMode   string            `json:"boot_mode,omitempty"`
	SecureBoot *bool             `json:"secure_boot,omitempty"`
	NMIs       int               `json:"nmis,omitempty"`       // injected so far
	Indicators map[string]string `json:"indicators,omitempty"` // name@component → state
	Media      map[string]string `json:"media,omitempty"`      // device → URL of the image
	BIOS       map[string]string `json:"bios,omitempty"`       // settings that differ from the factory's
	Firmware   map[string]string `json:"firmware,omitempty"`   // versions that differ from the factory's
	FlashedBy  string            `json:"flashed_by,omitempty"` // the command that wrote firmware last
	Disks      []map[string]any  `json:"disks,omitempty"`      // logical
	DisksBy    string            `json:"disks_by,omitempty"`   // the step that made them last
	Console    bool              `json:"console,omitempty"`
}

type bootSetting struct {
	Device     ferric.BootDevice `json:"device"`
	Persistent bool              `json:"persistent"`
}

// recall reads a machine's memory.
func (h *Hardware) recall(ctx context.Context, node string) (memory, error) {
	var m memory
	raw, err := h.load(ctx, node)
	if err != nil || len(raw) == 0 {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, ferric.Errorf(ferric.CodeInternal, "state of the fake machine of node %s: %w", node, err)
	}
	return m, nil
}

// remember changes a machine's memory.
func (h *Hardware) remember(ctx context.Context, node string, change func(*memory) error) error {
	hash := fnv.New32a()
	hash.Write([]byte(node))
	lock := &h.locks[hash.Sum32()%uint32(len(h.locks))]
	lock.Lock()
	defer lock.Unlock()
	m, err := h.recall(ctx, node)
	if err != nil {
		return err
	}
	if err := change(&m); err != nil {
		return err
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "state of the fake machine of node %s: %w", node, err)
	}
	if h.States != nil {
		return h.States.SetDriverState(ctx, node, stateName, raw)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.states == nil {
		h.states = map[string][]byte{}
	}
	h.states[node] = raw
	return nil
}

func (h *Hardware) load(ctx context.Context, node string) ([]byte, error) {
	if h.States != nil {
		return h.States.DriverState(ctx, node, stateName)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.states[node], nil
}

// put sets a value in a map that may not be there yet.
func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}
