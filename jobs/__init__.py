"""Path of an event into a Redis message, and recovery of lost messages."""
