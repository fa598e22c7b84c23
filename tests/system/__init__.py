"""Tests of the real processes against simulators: notes, rows, logs and spans."""
