"""Settings and tenants; no other room reads our settings from the environment."""
