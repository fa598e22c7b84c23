"""Who may connect, for how long, and who goes."""
