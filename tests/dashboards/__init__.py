"""The dashboards: as files, and against a real Prometheus that asks real processes."""
