"""Every setting with its default and bounds, as frozen models that are saved as JSON."""
