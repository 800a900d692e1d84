-- One text for SQLite and PostgreSQL. Conventions: absent text is '' and absent time is 0, so that nothing is NULL and
-- every column sorts alike in both; times are microseconds since 1970-01-01 UTC; JSON documents are TEXT; BYTEA columns
-- hold sealed (encrypted) values, NULL when empty; three-valued booleans are SMALLINT with -1 for unknown. Documents
-- come last in a row, so that reading the rest does not page them in. Indexes that a duplicate can break end in _uq.

-- +goose Up
CREATE TABLE encryption_keys (
  key_id TEXT NOT NULL PRIMARY KEY,
  proof BYTEA NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE counters (
  name TEXT NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('changes', 0);

CREATE TABLE nodes (
  uuid TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  reservation TEXT NOT NULL DEFAULT '',
  lease_epoch BIGINT NOT NULL DEFAULT 0,
  lease_until BIGINT NOT NULL DEFAULT 0,
  name TEXT NOT NULL,
  instance_uuid TEXT NOT NULL,
  driver TEXT NOT NULL,
  chassis_uuid TEXT NOT NULL,
  resource_class TEXT NOT NULL,
  conductor_group TEXT NOT NULL,
  owner TEXT NOT NULL,
  lessee TEXT NOT NULL,
  description TEXT NOT NULL,
  shard TEXT NOT NULL,
  parent_node TEXT NOT NULL,
  allocation_uuid TEXT NOT NULL,
  instance_name TEXT NOT NULL,
  power_state TEXT NOT NULL,
  target_power_state TEXT NOT NULL,
  provision_state TEXT NOT NULL,
  target_provision_state TEXT NOT NULL,
  provision_updated_at BIGINT NOT NULL,
  last_error TEXT NOT NULL,
  maintenance BOOLEAN NOT NULL,
  maintenance_reason TEXT NOT NULL,
  fault TEXT NOT NULL,
  protected BOOLEAN NOT NULL,
  protected_reason TEXT NOT NULL,
  retired BOOLEAN NOT NULL,
  retired_reason TEXT NOT NULL,
  automated_clean SMALLINT NOT NULL,
  disable_power_off BOOLEAN NOT NULL,
  console_enabled BOOLEAN NOT NULL,
  boot_mode TEXT NOT NULL,
  secure_boot SMALLINT NOT NULL,
  health TEXT NOT NULL,
  inspection_started_at BIGINT NOT NULL,
  inspection_finished_at BIGINT NOT NULL,
  conductor TEXT NOT NULL,
  interfaces TEXT NOT NULL,
  properties TEXT NOT NULL,
  extra TEXT NOT NULL,
  driver_internal_info TEXT NOT NULL,
  raid_config TEXT NOT NULL,
  target_raid_config TEXT NOT NULL,
  network_data TEXT NOT NULL,
  clean_step TEXT NOT NULL,
  deploy_step TEXT NOT NULL,
  service_step TEXT NOT NULL,
  driver_info BYTEA,
  instance_info BYTEA
);
CREATE UNIQUE INDEX nodes_name_uq ON nodes (name) WHERE name <> '';
CREATE UNIQUE INDEX nodes_instance_uuid_uq ON nodes (instance_uuid) WHERE instance_uuid <> '';
CREATE INDEX nodes_created_at ON nodes (created_at, uuid);
CREATE INDEX nodes_provision_state ON nodes (provision_state);
CREATE INDEX nodes_parent_node ON nodes (parent_node) WHERE parent_node <> '';
CREATE INDEX nodes_reservation ON nodes (reservation) WHERE reservation <> '';

CREATE TABLE node_traits (
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  trait TEXT NOT NULL,
  PRIMARY KEY (node_uuid, trait)
);
CREATE INDEX node_traits_trait ON node_traits (trait);

CREATE TABLE ports (
  uuid TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  address TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  pxe_enabled BOOLEAN NOT NULL,
  portgroup_uuid TEXT NOT NULL,
  physical_network TEXT NOT NULL,
  is_smartnic BOOLEAN NOT NULL,
  vendor TEXT NOT NULL,
  category TEXT NOT NULL,
  extra TEXT NOT NULL,
  internal_info TEXT NOT NULL,
  local_link_connection TEXT NOT NULL
);
CREATE UNIQUE INDEX ports_address_uq ON ports (address);
CREATE UNIQUE INDEX ports_name_uq ON ports (name) WHERE name <> '';
CREATE INDEX ports_node_uuid ON ports (node_uuid);
CREATE INDEX ports_created_at ON ports (created_at, uuid);

-- due_at is when the operation wants a worker: wake_at, or what follows from its status where that is 0.
-- signal_marks is JSON: per event name, the value of signals when it came last.
CREATE TABLE operations (
  id TEXT NOT NULL PRIMARY KEY,
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  lane TEXT NOT NULL,
  status TEXT NOT NULL,
  error TEXT NOT NULL,
  step_cursor BIGINT NOT NULL,
  request_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  project TEXT NOT NULL,
  abort_reason TEXT NOT NULL,
  wait_for TEXT NOT NULL,
  wait_what TEXT NOT NULL,
  wait_since BIGINT NOT NULL,
  wake_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  signals BIGINT NOT NULL,
  signal_marks TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  conductor TEXT NOT NULL,
  takeovers BIGINT NOT NULL,
  params TEXT NOT NULL
);
CREATE UNIQUE INDEX operations_lane_uq ON operations (node_uuid, lane) WHERE ended_at = 0;
CREATE INDEX operations_due_at ON operations (due_at) WHERE ended_at = 0;
CREATE INDEX operations_node ON operations (node_uuid, created_at);

CREATE TABLE steps (
  operation_id TEXT NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
  seq BIGINT NOT NULL,
  interface TEXT NOT NULL,
  name TEXT NOT NULL,
  priority BIGINT NOT NULL,
  args TEXT NOT NULL,
  repeat_mode TEXT NOT NULL,
  clean_up BOOLEAN NOT NULL,
  hidden BOOLEAN NOT NULL,
  source TEXT NOT NULL,
  status TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  error TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  data TEXT NOT NULL,
  result TEXT NOT NULL,
  PRIMARY KEY (operation_id, seq)
);

CREATE TABLE history (
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  seq BIGINT NOT NULL,
  uuid TEXT NOT NULL,
  conductor TEXT NOT NULL,
  event TEXT NOT NULL,
  event_type TEXT NOT NULL,
  severity TEXT NOT NULL,
  user_id TEXT NOT NULL,
  project TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  state TEXT NOT NULL,
  target_state TEXT NOT NULL,
  duration BIGINT NOT NULL,
  operation_id TEXT NOT NULL,
  step TEXT NOT NULL,
  PRIMARY KEY (node_uuid, seq)
);
CREATE UNIQUE INDEX history_uuid_uq ON history (uuid);

CREATE TABLE agent_sessions (
  node_uuid TEXT NOT NULL PRIMARY KEY REFERENCES nodes (uuid) ON DELETE CASCADE,
  callback_url TEXT NOT NULL,
  version TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  looked_up_at BIGINT NOT NULL,
  last_heartbeat BIGINT NOT NULL,
  verify_ca TEXT NOT NULL,
  token BYTEA
);

CREATE TABLE inventories (
  node_uuid TEXT NOT NULL PRIMARY KEY REFERENCES nodes (uuid) ON DELETE CASCADE,
  updated_at BIGINT NOT NULL,
  inventory TEXT NOT NULL,
  plugin_data TEXT NOT NULL
);

CREATE TABLE configdrives (
  node_uuid TEXT NOT NULL PRIMARY KEY REFERENCES nodes (uuid) ON DELETE CASCADE,
  updated_at BIGINT NOT NULL,
  data BYTEA
);

CREATE TABLE conductors (
  hostname TEXT NOT NULL PRIMARY KEY,
  conductor_group TEXT NOT NULL,
  drivers TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  retired BOOLEAN NOT NULL
);

CREATE TABLE dhcp_leases (
  address TEXT NOT NULL PRIMARY KEY,
  mac TEXT NOT NULL,
  hostname TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  declined BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX dhcp_leases_mac_uq ON dhcp_leases (mac) WHERE mac <> '';
CREATE INDEX dhcp_leases_expires_at ON dhcp_leases (expires_at);

CREATE TABLE changes (
  id BIGINT NOT NULL PRIMARY KEY,
  node_uuid TEXT NOT NULL,
  kind TEXT NOT NULL,
  at BIGINT NOT NULL,
  provision_state TEXT NOT NULL,
  target_provision_state TEXT NOT NULL,
  power_state TEXT NOT NULL,
  maintenance BOOLEAN NOT NULL,
  fields TEXT NOT NULL
);
CREATE INDEX changes_at ON changes (at);
