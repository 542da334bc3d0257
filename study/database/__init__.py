"""The tables of a study and everything that reads or writes them."""
