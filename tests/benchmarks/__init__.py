"""The benchmarks do what they say; how long anything takes is never tested."""
