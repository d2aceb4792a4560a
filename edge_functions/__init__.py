"""What runs near the listener."""
