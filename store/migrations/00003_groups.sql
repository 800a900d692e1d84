-- +goose Up
-- Chassis, port groups, volume connectors and targets; ports say whether they may join a dynamic port group.
CREATE TABLE chassis (
  uuid TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  description TEXT NOT NULL,
  extra TEXT NOT NULL
);
CREATE INDEX chassis_created_at ON chassis (created_at, uuid);
-- Until now a node could name any chassis: those that are named exist from here on.
INSERT INTO chassis (uuid, created_at, updated_at, version, description, extra)
  SELECT chassis_uuid, MIN(created_at), MIN(created_at), 1, '', '' FROM nodes WHERE chassis_uuid <> '' GROUP BY chassis_uuid;

CREATE TABLE portgroups (
  uuid TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  address TEXT NOT NULL,
  name TEXT NOT NULL,
  mode TEXT NOT NULL,
  standalone_ports_supported BOOLEAN NOT NULL,
  physical_network TEXT NOT NULL,
  category TEXT NOT NULL,
  dynamic_portgroup BOOLEAN NOT NULL,
  properties TEXT NOT NULL,
  extra TEXT NOT NULL,
  internal_info TEXT NOT NULL
);
CREATE UNIQUE INDEX portgroups_address_uq ON portgroups (address) WHERE address <> '';
CREATE UNIQUE INDEX portgroups_name_uq ON portgroups (name) WHERE name <> '';
CREATE INDEX portgroups_node_uuid ON portgroups (node_uuid);
CREATE INDEX portgroups_created_at ON portgroups (created_at, uuid);

ALTER TABLE ports ADD COLUMN available_for_dynamic_portgroup BOOLEAN NOT NULL DEFAULT TRUE;
UPDATE ports SET available_for_dynamic_portgroup = FALSE WHERE internal_info LIKE '%"available_for_dynamic_portgroup":false%';
UPDATE ports SET internal_info = REPLACE(REPLACE(REPLACE(internal_info, '{"available_for_dynamic_portgroup":false}', ''),
  '"available_for_dynamic_portgroup":false,', ''), ',"available_for_dynamic_portgroup":false', '')
  WHERE NOT available_for_dynamic_portgroup;
UPDATE ports SET portgroup_uuid = '' WHERE portgroup_uuid <> '';
CREATE INDEX ports_portgroup_uuid ON ports (portgroup_uuid) WHERE portgroup_uuid <> '';

CREATE TABLE volume_connectors (
  uuid TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  type TEXT NOT NULL,
  connector_id TEXT NOT NULL,
  extra TEXT NOT NULL
);
CREATE UNIQUE INDEX volume_connectors_connector_id_uq ON volume_connectors (type, connector_id);
CREATE INDEX volume_connectors_node_uuid ON volume_connectors (node_uuid);
CREATE INDEX volume_connectors_created_at ON volume_connectors (created_at, uuid);

CREATE TABLE volume_targets (
  uuid TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  volume_type TEXT NOT NULL,
  volume_id TEXT NOT NULL,
  boot_index BIGINT NOT NULL,
  extra TEXT NOT NULL,
  properties BYTEA
);
CREATE UNIQUE INDEX volume_targets_boot_index_uq ON volume_targets (node_uuid, boot_index);
CREATE INDEX volume_targets_created_at ON volume_targets (created_at, uuid);
