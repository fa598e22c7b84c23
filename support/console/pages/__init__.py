"""What each address of the console shows, as plain values: a file a page."""
