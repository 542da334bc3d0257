"""Quality of the trained miniature: metrics, contact sheets, model card, and comparison with other weights."""
