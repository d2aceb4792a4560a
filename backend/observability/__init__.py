"""What the origin says of itself: metrics, logs and traces."""
