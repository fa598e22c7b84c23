"""What people run: the `ai-agents` command."""
