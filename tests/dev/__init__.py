"""Tests of the simulators, the local stack and the benchmarks."""
