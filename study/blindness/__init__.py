"""Audit of the served study: does anything reveal an image's origin?"""
