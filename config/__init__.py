"""Settings and tenants: the only place that reads the environment."""
