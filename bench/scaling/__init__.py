"""Scaling rules compared on recorded traffic, in the simulator: `python -m bench.scaling`."""
