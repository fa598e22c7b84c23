"""`ai-agents secrets`: webhook secret rotation in steps, and the age of secrets."""
