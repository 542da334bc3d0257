"""Everything that generates an image, and finds it again."""
