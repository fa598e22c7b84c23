"""Tests: `unit` needs no server, `storage` a real Postgres, `e2e` the whole system as its users start it."""
