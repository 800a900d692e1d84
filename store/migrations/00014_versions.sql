-- Programs of two versions work with one database during an upgrade: what each of them knows, which of them an operation is for, and which ones the
-- schema is for. See docs/upgrade.md.

-- +goose Up
CREATE TABLE processes (
  hostname TEXT NOT NULL,
  roles TEXT NOT NULL,
  version TEXT NOT NULL,
  schema_known BIGINT NOT NULL,
  protocol_oldest BIGINT NOT NULL,
  protocol_newest BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (hostname, roles)
);
ALTER TABLE conductors ADD COLUMN protocol_oldest BIGINT NOT NULL DEFAULT 1;
ALTER TABLE conductors ADD COLUMN protocol_newest BIGINT NOT NULL DEFAULT 1;
ALTER TABLE operations ADD COLUMN needs BIGINT NOT NULL DEFAULT 1;
INSERT INTO counters (name, value) VALUES ('schema_oldest', 14);
