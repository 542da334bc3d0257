"""Photos on their way to a dataset: ingest, caption, review, split, build. Needs no model."""
