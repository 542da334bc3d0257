"""The blindness audit: does anything that a study serves, besides the pixels, reveal an image's origin?"""
