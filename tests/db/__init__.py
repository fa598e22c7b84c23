"""Tests of the tables and their queries on a real Postgres."""
