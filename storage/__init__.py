"""Postgres: jobs, and what context is gathered from. Rows of a tenant are under row-level security."""
