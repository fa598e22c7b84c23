"""Simulators, the local stack, benchmarks: never shipped."""
