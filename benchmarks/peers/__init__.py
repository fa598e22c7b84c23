"""Alternatives to the product, each written as its own documentation shows, in processes of their own."""
