"""Redaction of personal data for a model, and restoration in its answer."""
