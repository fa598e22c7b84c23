"""The value report: coverage, speed, use and cost of notes."""
