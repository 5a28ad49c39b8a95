"""Runs as data: settings, the store, the scheduler and its workers."""
