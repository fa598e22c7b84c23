"""`ai-agents documents`: files of a knowledge base, which are found beside the desk's own solutions."""
