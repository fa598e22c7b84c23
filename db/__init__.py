"""Postgres: jobs, and copies for context. Row-level security isolates tenants."""
