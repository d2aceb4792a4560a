"""Recognition: from a clip to a verified song."""
