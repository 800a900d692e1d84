package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"ferric"
)

var networkBootTable = table[ferric.NetworkBoot]{
	name: "network_boots",
	id:   func(b *ferric.NetworkBoot) string { return b.NodeUUID },
	cols: []column[ferric.NetworkBoot]{
		text("node_uuid", func(b *ferric.NetworkBoot) *string { return &b.NodeUUID }),
		moment("updated_at", func(b *ferric.NetworkBoot) *time.Time { return &b.UpdatedAt }),
		sealedRaw("config", func(b *ferric.NetworkBoot) *json.RawMessage { return &b.Config }),
	},
}

// PutNetworkBoot keeps what a node boots over the network, in place of what it booted before, and fills in the time. CodeConflict, and nothing changes, if
// another node boots with one of the MACs; CodeNotFound if there is no such node. It may be repeated.
func (s *Store) PutNetworkBoot(ctx context.Context, b *ferric.NetworkBoot) error {
	made := *b
	err := s.write(ctx, "keep network boot", func(ctx context.Context, t *tx) error {
		made.UpdatedAt = t.now
		err := networkBootTable.insert(ctx, s, t, []string{"node_uuid"}, &made)
		if orphaned(err) {
			return nodeNotFound(b.NodeUUID)
		}
		if err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, "DELETE FROM network_boot_macs WHERE node_uuid = $1", clean(b.NodeUUID)); err != nil {
			return err
		}
		for _, mac := range b.MACs {
			mac = clean(strings.ToLower(mac))
			var owner string
			err := t.QueryRowContext(ctx, "SELECT node_uuid FROM network_boot_macs WHERE mac = $1", mac).Scan(&owner)
			if err == nil {
				return ferric.Errorf(ferric.CodeConflict, "MAC address %s boots for node %s.", mac, owner)
			}
			if !missing(err) {
				return err
			}
			_, err = t.ExecContext(ctx, "INSERT INTO network_boot_macs (mac, node_uuid) VALUES ($1, $2)", mac, clean(b.NodeUUID))
			if duplicate(err, "network_boot_macs", "mac") {
				return ferric.Errorf(ferric.CodeConflict, "MAC address %s was published for another node at the same time.", mac)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		*b = made
	}
	return err
}

// NetworkBootByMAC returns what the machine with a MAC boots (CodeNotFound).
func (s *Store) NetworkBootByMAC(ctx context.Context, mac string) (*ferric.NetworkBoot, error) {
	return s.networkBoot(ctx, "(SELECT node_uuid FROM network_boot_macs WHERE mac = $1)", strings.ToLower(mac))
}

// NetworkBoot returns what a node boots (CodeNotFound).
func (s *Store) NetworkBoot(ctx context.Context, nodeUUID string) (*ferric.NetworkBoot, error) {
	return s.networkBoot(ctx, "$1", nodeUUID)
}

// networkBoot does not fill in the MACs: they are in the configuration.
func (s *Store) networkBoot(ctx context.Context, which, value string) (b *ferric.NetworkBoot, err error) {
	err = s.get(ctx, "read network boot", func(ctx context.Context, q querier) error {
		b, err = networkBootTable.one(ctx, s, q, "WHERE node_uuid = "+which, clean(value))
		if missing(err) {
			return ferric.Errorf(ferric.CodeNotFound, "Nothing is booted over the network by %s.", value)
		}
		return err
	})
	return b, err
}

// NetworkBoots returns what all nodes boot, by node.
func (s *Store) NetworkBoots(ctx context.Context) (list []ferric.NetworkBoot, err error) {
	err = s.get(ctx, "list network boots", func(ctx context.Context, q querier) error {
		rows, err := networkBootTable.all(ctx, s, q, "ORDER BY node_uuid")
		list = flat(rows)
		return err
	})
	return list, err
}

// DeleteNetworkBoot forgets what a node boots. Nothing there is no error.
func (s *Store) DeleteNetworkBoot(ctx context.Context, nodeUUID string) error {
	_, err := s.exec(ctx, "delete network boot", "DELETE FROM network_boots WHERE node_uuid = $1", clean(nodeUUID))
	return err
}

// bootFile is a ferric.BootFile with its key.
type bootFile struct {
	id string
	ferric.BootFile
}

func bootFileID(node, name string) string { return node + "/" + name }

var bootFileTable = table[bootFile]{
	name: "boot_files",
	id:   func(f *bootFile) string { return f.id },
	cols: []column[bootFile]{
		text("id", func(f *bootFile) *string { return &f.id }),
		text("node_uuid", func(f *bootFile) *string { return &f.NodeUUID }),
		text("name", func(f *bootFile) *string { return &f.Name }),
		text("tag", func(f *bootFile) *string { return &f.Tag }),
		sealedRaw("source", func(f *bootFile) *json.RawMessage { return &f.Source }),
	},
}

// PutBootFile keeps where a file for a node comes from, in place of an older one of the same name. CodeNotFound if there is no such node.
func (s *Store) PutBootFile(ctx context.Context, f ferric.BootFile) error {
	return s.write(ctx, "keep boot file", func(ctx context.Context, t *tx) error {
		err := bootFileTable.insert(ctx, s, t, []string{"id"}, &bootFile{bootFileID(f.NodeUUID, f.Name), f})
		if orphaned(err) {
			return nodeNotFound(f.NodeUUID)
		}
		return err
	})
}

// BootFile returns where a file for a node comes from (CodeNotFound).
func (s *Store) BootFile(ctx context.Context, node, name string) (f ferric.BootFile, err error) {
	err = s.get(ctx, "read boot file", func(ctx context.Context, q querier) error {
		row, err := bootFileTable.one(ctx, s, q, "WHERE id = $1", clean(bootFileID(node, name)))
		if missing(err) {
			return ferric.Errorf(ferric.CodeNotFound, "Node %s has no boot file %s.", node, name)
		}
		if err == nil {
			f = row.BootFile
		}
		return err
	})
	return f, err
}

// BootFiles returns the files of all nodes, without their sources, by node and name.
func (s *Store) BootFiles(ctx context.Context) (list []ferric.BootFile, err error) {
	err = s.get(ctx, "list boot files", func(ctx context.Context, q querier) error {
		rows, err := bootFileTable.brief().all(ctx, s, q, "ORDER BY node_uuid, name")
		list = make([]ferric.BootFile, len(rows))
		for i, r := range rows {
			list[i] = r.BootFile
		}
		return err
	})
	return list, err
}

// DeleteBootFile forgets a file for a node. None there is no error.
func (s *Store) DeleteBootFile(ctx context.Context, node, name string) error {
	_, err := s.exec(ctx, "delete boot file", "DELETE FROM boot_files WHERE id = $1", clean(bootFileID(node, name)))
	return err
}
