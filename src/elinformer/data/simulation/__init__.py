"""Simulated freeway networks, as large as wanted and free to use."""
