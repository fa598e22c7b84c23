"""Tests of `dispatch/`."""
