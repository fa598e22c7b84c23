"""`ai-agents documents`: knowledge base files, found beside the desk's solutions."""
