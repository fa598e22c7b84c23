"""The console: web pages for support and operators, a process of its own behind a login (`ai-agents console`)."""
