-- Calls of the API that were carried out, so that one whose answer was lost is not carried out twice.

-- +goose Up
CREATE TABLE requests (
  key TEXT NOT NULL PRIMARY KEY,
  attempt TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  answer BYTEA
);
CREATE INDEX requests_created_at ON requests (created_at);
