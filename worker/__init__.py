"""Celery, both ends of the queue."""
