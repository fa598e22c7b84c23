"""Scheduled work of one leader: copying desks, and purging old data."""
