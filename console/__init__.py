"""The console: web pages for support and operators, behind a login."""
