"""Simulated freeway networks of any size."""
