"""Data of the console's pages as plain values for templates."""
