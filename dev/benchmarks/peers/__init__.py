"""Alternatives to the product, in processes of their own.

Each is written after its own documentation.
"""
