-- What nodes boot over the network, so that every boot host can serve them.

-- +goose Up
CREATE TABLE network_boots (
  node_uuid TEXT NOT NULL PRIMARY KEY REFERENCES nodes (uuid) ON DELETE CASCADE,
  updated_at BIGINT NOT NULL,
  config BYTEA
);

CREATE TABLE network_boot_macs (
  mac TEXT NOT NULL PRIMARY KEY,
  node_uuid TEXT NOT NULL REFERENCES network_boots (node_uuid) ON DELETE CASCADE
);
CREATE INDEX network_boot_macs_node ON network_boot_macs (node_uuid);

CREATE TABLE boot_files (
  id TEXT NOT NULL PRIMARY KEY,
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  name TEXT NOT NULL,
  tag TEXT NOT NULL,
  source BYTEA
);
CREATE INDEX boot_files_node ON boot_files (node_uuid);

CREATE TABLE boot_hosts (
  hostname TEXT NOT NULL PRIMARY KEY,
  http TEXT NOT NULL,
  address TEXT NOT NULL,
  network TEXT NOT NULL,
  updated_at BIGINT NOT NULL
);

-- The time by which DHCP leases run: it does not leap when a clock does. seen_at is the clock's time when it was last moved on.
CREATE TABLE lease_clock (
  id BIGINT NOT NULL PRIMARY KEY,
  now BIGINT NOT NULL,
  seen_at BIGINT NOT NULL
);
