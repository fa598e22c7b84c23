"""What is personal in a text becomes placeholders, and comes back."""
