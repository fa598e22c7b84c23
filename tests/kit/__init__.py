"""Shared test fixtures, fakes and helpers."""
