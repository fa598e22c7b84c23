"""What a desk's webhook looks like."""
