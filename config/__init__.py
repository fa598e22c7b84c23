"""Settings and tenants; only this package reads the environment."""
