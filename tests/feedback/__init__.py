"""The link in a note, and the page behind it."""
