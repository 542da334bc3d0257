"""Definition, blind copies and counterbalanced plans of a study; no database."""
