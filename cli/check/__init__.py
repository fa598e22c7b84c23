"""`ai-agents check`: checks of a tenant's settings and services, with remedies."""
