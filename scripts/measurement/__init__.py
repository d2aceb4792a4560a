"""What evaluate.py and benchmark.py measure with."""
