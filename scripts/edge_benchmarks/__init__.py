"""What scripts/benchmark_edge.py measures, a target a module."""
