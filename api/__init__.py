"""Webhook receiver: verify, record, queue, answer 202."""
