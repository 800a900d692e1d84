-- +goose Up
CREATE TABLE inspection_rules (
  uuid TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  priority BIGINT NOT NULL,
  description TEXT NOT NULL,
  phase TEXT NOT NULL,
  sensitive BOOLEAN NOT NULL,
  conditions BYTEA,
  actions BYTEA
);
CREATE INDEX inspection_rules_created_at ON inspection_rules (created_at, uuid);

-- What an inspection under way was sent, until it has been processed.
CREATE TABLE inspections (
  node_uuid TEXT NOT NULL PRIMARY KEY REFERENCES nodes (uuid) ON DELETE CASCADE,
  received_at BIGINT NOT NULL,
  inventory TEXT NOT NULL,
  plugin_data TEXT NOT NULL
);

-- The addresses by which unknown machines were enrolled: a machine that calls twice is one node.
CREATE TABLE discoveries (
  address TEXT NOT NULL PRIMARY KEY,
  node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE
);
CREATE INDEX discoveries_node_uuid ON discoveries (node_uuid);
