-- Notices to other programs, until all sinks have taken them, and how far each sink has come.

-- +goose Up
CREATE TABLE outbox (
  id BIGINT NOT NULL PRIMARY KEY,
  at BIGINT NOT NULL,
  topic TEXT NOT NULL,
  about TEXT NOT NULL,
  message_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  level TEXT NOT NULL,
  publisher TEXT NOT NULL,
  payload TEXT NOT NULL
);
CREATE INDEX outbox_at ON outbox (at);

CREATE TABLE outbox_sinks (
  name TEXT NOT NULL PRIMARY KEY,
  done BIGINT NOT NULL DEFAULT 0,
  holder TEXT NOT NULL DEFAULT '',
  held_until BIGINT NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '',
  failing_since BIGINT NOT NULL DEFAULT 0,
  dropped BIGINT NOT NULL DEFAULT 0,
  dropped_at BIGINT NOT NULL DEFAULT 0,
  refused BIGINT NOT NULL DEFAULT 0
);

INSERT INTO counters (name, value) VALUES ('outbox', 0);
