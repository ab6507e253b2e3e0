"""Deployables that size fleets: they translate, and decide nothing."""
