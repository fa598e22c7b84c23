"""The signing proxy beside a desk."""
