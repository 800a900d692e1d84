-- +goose Up
-- due_at is when a conductor is to look for a node: it counts while the state is 'allocating'. node_uuid is '' without a node, so it
-- is no foreign key; the row goes when the node lets go of the instance, or is deleted.
CREATE TABLE allocations (
  uuid TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  name TEXT NOT NULL,
  node_uuid TEXT NOT NULL,
  resource_class TEXT NOT NULL,
  state TEXT NOT NULL,
  owner TEXT NOT NULL,
  last_error TEXT NOT NULL,
  conductor TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  traits TEXT NOT NULL,
  candidate_nodes TEXT NOT NULL,
  extra TEXT NOT NULL
);
CREATE UNIQUE INDEX allocations_name_uq ON allocations (name) WHERE name <> '';
CREATE UNIQUE INDEX allocations_node_uuid_uq ON allocations (node_uuid) WHERE node_uuid <> '';
CREATE INDEX allocations_created_at ON allocations (created_at, uuid);
CREATE INDEX allocations_due_at ON allocations (due_at) WHERE state = 'allocating';

-- The nodes that allocations choose from.
CREATE INDEX nodes_allocatable ON nodes (resource_class, uuid) WHERE provision_state = 'available' AND instance_uuid = '';

CREATE TABLE deploy_templates (
  uuid TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  name TEXT NOT NULL,
  extra TEXT NOT NULL,
  steps BYTEA
);
CREATE UNIQUE INDEX deploy_templates_name_uq ON deploy_templates (name);
CREATE INDEX deploy_templates_created_at ON deploy_templates (created_at, uuid);

CREATE TABLE runbooks (
  uuid TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  owner TEXT NOT NULL,
  public BOOLEAN NOT NULL,
  disable_ramdisk BOOLEAN NOT NULL,
  traits TEXT NOT NULL,
  extra TEXT NOT NULL,
  steps BYTEA
);
CREATE UNIQUE INDEX runbooks_name_uq ON runbooks (name);
CREATE INDEX runbooks_created_at ON runbooks (created_at, uuid);
