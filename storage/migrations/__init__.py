"""Alembic's migrations: what makes and changes the tables."""
