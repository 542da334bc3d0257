"""The training images of the miniature: what they show, their captions, and their painting."""
