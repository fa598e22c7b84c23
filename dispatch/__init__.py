"""From an accepted event to a message in Redis, and back when one is lost."""
