"""Client of a ServiceDesk Plus desk, on premises or in the cloud."""
