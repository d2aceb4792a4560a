"""Adapters of the reference index."""
