-- +goose Up
-- What is known of a step besides how to run it, as it is shown with the step.
ALTER TABLE steps ADD COLUMN info TEXT NOT NULL DEFAULT '';
