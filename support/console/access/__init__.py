"""Who may see the console: sessions, tokens and an OpenID provider."""
