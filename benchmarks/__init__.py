"""Benchmarks: what a job costs, what observability adds to it, and how much memory a worker needs."""
