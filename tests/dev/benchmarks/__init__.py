"""Tests of the benchmarks' results; durations are never tested."""
