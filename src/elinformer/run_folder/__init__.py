"""Run folders: weights, names, options, scores and checkpoints as safetensors and JSON."""
