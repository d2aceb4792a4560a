"""Ingestion: from files to songs and fingerprints in the catalogue."""
