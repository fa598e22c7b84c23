"""Settings and tenants: the only place that reads the environment."""

from config.environment import settle_environment

settle_environment()
