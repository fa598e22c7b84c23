"""Tests: a folder for each room, `system/` for real processes, `kit/` for what they share."""
