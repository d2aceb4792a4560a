"""What compare_peers.py measures Sonica against, and how."""
