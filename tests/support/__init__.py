"""Tests of `support/`."""
