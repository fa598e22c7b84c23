"""Tests of `workflow/`."""
