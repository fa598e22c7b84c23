"""Benchmarks: the cost of a job, the overhead of observability, a worker's memory."""
