"""Redaction of personal data: placeholders before a text goes to a model, and the values back in its answer."""
