-- +goose Up
-- A filtered page is read in its order from an index, and not sorted out of all that match.
DROP INDEX nodes_provision_state;
CREATE INDEX nodes_provision_state ON nodes (provision_state, created_at, uuid);
CREATE INDEX nodes_resource_class ON nodes (resource_class, created_at, uuid) WHERE resource_class <> '';
CREATE INDEX nodes_conductor_group ON nodes (conductor_group, created_at, uuid) WHERE conductor_group <> '';
CREATE INDEX nodes_shard ON nodes (shard, created_at, uuid) WHERE shard <> '';
CREATE INDEX nodes_owner ON nodes (owner, created_at, uuid) WHERE owner <> '';
CREATE INDEX nodes_lessee ON nodes (lessee, created_at, uuid) WHERE lessee <> '';
CREATE INDEX nodes_chassis_uuid ON nodes (chassis_uuid, created_at, uuid) WHERE chassis_uuid <> '';
