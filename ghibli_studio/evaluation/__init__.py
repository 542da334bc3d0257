"""Images to numbers: networks, metrics, statistics, and the blind study's images."""
