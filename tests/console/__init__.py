"""Tests of `support/console/`."""
