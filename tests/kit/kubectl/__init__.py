"""The stand-in for kubectl, and the shell in which people type it."""
