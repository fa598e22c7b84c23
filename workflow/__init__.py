"""The LangGraph workflow: gather context, call GPT-4, update the ticket."""
