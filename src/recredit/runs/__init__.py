"""Runs as data: settings, the store, what computes them, here or on a cluster."""
