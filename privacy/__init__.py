"""What is personal stays inside: redaction before a model, erasure."""
