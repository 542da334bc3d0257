"""A port for a server of a test."""

import socket


def free_port():
    """Return a port on this machine that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
