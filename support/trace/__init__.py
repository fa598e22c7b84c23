"""`ai-agents trace`: where a job's time went, as a tree in the terminal."""
