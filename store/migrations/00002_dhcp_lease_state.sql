-- +goose Up
-- A lease that is offered only is told apart from one in use.
ALTER TABLE dhcp_leases ADD COLUMN state TEXT NOT NULL DEFAULT 'bound';
UPDATE dhcp_leases SET state = 'declined' WHERE declined;
ALTER TABLE dhcp_leases DROP COLUMN declined;
