"""Tests of `housekeeping/`."""
