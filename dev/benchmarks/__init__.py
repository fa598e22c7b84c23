"""Benchmarks: the cost of a webhook and a job, starts and memory, the quality of what is found and noted."""
