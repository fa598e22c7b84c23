"""Tests of `observability/`."""
