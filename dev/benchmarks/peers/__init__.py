"""Alternatives to the product, in own processes, written after their documentation."""
