"""The parts of scripts/train_embedding.py: corpus, pairs, linear start, network, contrast, weights file."""
