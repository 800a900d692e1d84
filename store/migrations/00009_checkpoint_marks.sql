-- +goose Up
-- Names the last checkpoint of an operation: one whose answer was lost is not written twice.
ALTER TABLE operations ADD COLUMN mark TEXT NOT NULL DEFAULT '';
