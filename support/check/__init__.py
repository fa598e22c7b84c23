"""`ai-agents check`: is everything that a tenant's tickets need in order, and what is to be done where it is not."""
