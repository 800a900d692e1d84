-- +goose Up
-- How long operations have waited, without the time in which nobody could look after them, and when somebody looked last; and the hosts whose API takes
-- the calls of agents.
ALTER TABLE operations ADD COLUMN waited BIGINT NOT NULL DEFAULT 0;
ALTER TABLE operations ADD COLUMN looked_at BIGINT NOT NULL DEFAULT 0;

CREATE TABLE agent_doors (
  hostname TEXT NOT NULL PRIMARY KEY,
  updated_at BIGINT NOT NULL
);
