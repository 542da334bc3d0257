"""The base model: find, describe, load, encode text and images, cache tensors."""
