"""How good the notes are that a model's answers become: `python -m benchmarks.evaluation`."""
