"""Operator commands: `ai-agents` and its verbs."""
