"""Simulators of hard places to recognise music in: none is used for training, and they share no code with it."""
