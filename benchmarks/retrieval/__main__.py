"""`python -m benchmarks.retrieval`."""

from benchmarks.retrieval.benchmark import BENCHMARK

BENCHMARK.main()
