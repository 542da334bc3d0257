"""The participants' pages and the server."""
