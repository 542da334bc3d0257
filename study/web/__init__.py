"""The web pages of the participants, and the server for them."""
