-- +goose Up
-- What operations were asked and what their steps keep may hold passwords: it is encrypted from now on. The columns of the time before are emptied when
-- the database is opened.
ALTER TABLE operations ADD COLUMN sealed_params BYTEA;
ALTER TABLE steps ADD COLUMN sealed_args BYTEA;
ALTER TABLE steps ADD COLUMN sealed_data BYTEA;
ALTER TABLE steps ADD COLUMN sealed_result BYTEA;
