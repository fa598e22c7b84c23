"""GPT-4 over the API of OpenAI, or of a server that speaks it: what is asked, what is streamed, what is refused."""
