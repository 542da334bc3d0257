"""Pure functions on one image: open safely, crop, hash, lay out in sheets. Knows no project."""
