-- What machines' firmware says of itself, and what drivers remember of machines.

-- +goose Up
CREATE TABLE bios_settings (
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  name TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  value TEXT NOT NULL,
  registry TEXT NOT NULL,
  PRIMARY KEY (node_uuid, name)
);

CREATE TABLE firmware_components (
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  component TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  initial_version TEXT NOT NULL,
  current_version TEXT NOT NULL,
  last_version_flashed TEXT NOT NULL,
  vendor TEXT NOT NULL,
  model TEXT NOT NULL,
  serial_number TEXT NOT NULL,
  PRIMARY KEY (node_uuid, component)
);

-- id is the node's UUID, a slash and the name. state is sealed: it may hold what must not be read.
CREATE TABLE driver_states (
  id TEXT NOT NULL PRIMARY KEY,
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  updated_at BIGINT NOT NULL,
  state BYTEA
);
CREATE INDEX nodes_console_enabled ON nodes (console_enabled) WHERE console_enabled;
CREATE INDEX driver_states_node_uuid ON driver_states (node_uuid);
