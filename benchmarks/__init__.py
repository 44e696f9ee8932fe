"""Measurements, side by side with peers in one run: `scripts/bench`."""
