package boot

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"ferric"
)

// Record is a configuration that was published.
type Record struct {
	Config
	At time.Time // when
}

// Records keeps the configurations of all nodes where every host finds them.
type Records interface {
	// Put keeps a configuration, in place of the node's earlier one. It may be repeated. CodeConflict, and nothing changes, if another node has one of
	// the MACs; CodeNotFound if there is no such node.
	Put(ctx context.Context, c Config) error
	// Delete forgets a node's configuration. None there is no error.
	Delete(ctx context.Context, nodeUUID string) error
	// ByMAC and ByNode return a configuration or CodeNotFound; any other error says that this cannot be known now.
	ByMAC(ctx context.Context, mac string) (Record, error)
	ByNode(ctx context.Context, nodeUUID string) (Record, error)
	// All returns all configurations, by node.
	All(ctx context.Context) ([]Record, error)
}

// MemoryRecords is a Records that forgets everything at the end of the process. Its zero value is ready for use, from many goroutines.
type MemoryRecords struct {
	mu    sync.Mutex
	nodes map[string]Record
}

// Put implements Records.
func (m *MemoryRecords) Put(_ context.Context, c Config) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, other := range m.nodes {
		for _, mac := range c.MACs {
			if id != c.NodeUUID && slices.Contains(other.MACs, mac) {
				return ferric.Errorf(ferric.CodeConflict, "MAC address %s boots for node %s.", mac, id)
			}
		}
	}
	if m.nodes == nil {
		m.nodes = map[string]Record{}
	}
	m.nodes[c.NodeUUID] = Record{c.clone(), time.Now()}
	return nil
}

// Delete implements Records.
func (m *MemoryRecords) Delete(_ context.Context, nodeUUID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.nodes, nodeUUID)
	return nil
}

// ByMAC implements Records.
func (m *MemoryRecords) ByMAC(_ context.Context, mac string) (Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.nodes {
		if slices.Contains(r.MACs, mac) {
			return Record{r.clone(), r.At}, nil
		}
	}
	return Record{}, ferric.Errorf(ferric.CodeNotFound, "Nothing is booted over the network by %s.", mac)
}

// ByNode implements Records.
func (m *MemoryRecords) ByNode(_ context.Context, nodeUUID string) (Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.nodes[nodeUUID]; ok {
		return Record{r.clone(), r.At}, nil
	}
	return Record{}, ferric.Errorf(ferric.CodeNotFound, "Nothing is booted over the network by %s.", nodeUUID)
}

// All implements Records.
func (m *MemoryRecords) All(context.Context) ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Record
	for _, id := range slices.Sorted(maps.Keys(m.nodes)) {
		list = append(list, Record{m.nodes[id].clone(), m.nodes[id].At})
	}
	return list, nil
}
