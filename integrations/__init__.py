"""Clients of external services: ServiceDesk Plus and GPT-4."""
