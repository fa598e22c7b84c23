"""Whether a note was useful: the link in it, and the page that asks."""
