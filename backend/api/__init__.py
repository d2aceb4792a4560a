"""HTTP in and out: reads requests, writes responses, decides nothing."""
