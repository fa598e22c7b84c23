"""The outside world: ServiceDesk Plus and GPT-4."""
