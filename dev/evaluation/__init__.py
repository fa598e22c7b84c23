"""Quality of the notes from a model's answers: `python -m dev.evaluation`."""
