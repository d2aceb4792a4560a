"""Adapters of the recognition cache."""
