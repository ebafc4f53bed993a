"""Pictures of what was measured, drawn from the documents in benchmarks/results. `python -m benchmarks.pictures`."""
