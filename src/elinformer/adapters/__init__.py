"""Adapters to other libraries: one file, and one extra of the installation, for each library."""
