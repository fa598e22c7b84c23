"""Tests of the tables and what is done with them, on a real Postgres."""
