"""A ServiceDesk Plus desk, on premises or in the cloud: its tokens, its calls, and what its answers hold."""
