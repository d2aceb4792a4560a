"""A server near the listeners: popular songs from a bundle, all else from the origin; no database, no Redis."""
