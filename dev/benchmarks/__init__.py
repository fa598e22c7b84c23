"""Benchmarks of cost, starts and memory, and of retrieval quality."""
