"""Composes and synthesises the demo catalogue's pieces, with NumPy only."""
