"""SVG charts and figures, and numbers formatted as text."""
