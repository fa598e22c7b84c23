"""Logging, metrics and tracing. Imports only `config`."""
