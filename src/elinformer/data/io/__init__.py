"""Read panels from files and data frames, and write them. README.md describes the modules."""
