-- +goose Up
-- Nodes that are special in a way that few are, are found without a look at all others.
CREATE INDEX nodes_maintenance ON nodes (created_at, uuid) WHERE maintenance;
CREATE INDEX nodes_retired ON nodes (created_at, uuid) WHERE retired;
CREATE INDEX nodes_fault ON nodes (fault, created_at, uuid) WHERE fault <> '';
CREATE INDEX nodes_associated ON nodes (created_at, uuid) WHERE instance_uuid <> '';
CREATE INDEX nodes_instance_name ON nodes (instance_name, created_at, uuid) WHERE instance_name <> '';
CREATE INDEX nodes_driver ON nodes (driver, created_at, uuid);
