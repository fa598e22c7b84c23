"""Copies of desks and documents, and the search in them."""
