"""GPT-4 over the API of OpenAI or of a compatible server."""
