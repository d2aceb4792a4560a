"""Audio bytes to samples."""
