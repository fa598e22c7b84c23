"""`ai-agents secrets`: a tenant's webhook secret or token rotated step by step, and how old each secret is."""
