"""Log lines and trace spans: what support's FAQ looks for. Imports only `config`."""
