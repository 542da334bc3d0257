"""One module per method; a new method is one new file here."""
