"""Tests of `worker/scheduler/`."""
