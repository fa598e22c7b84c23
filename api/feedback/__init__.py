"""Feedback on notes: the links and their page."""
