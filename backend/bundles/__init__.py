"""Bundles: the one way in which an index is published; BUNDLES.md has the format and the order of writes."""
