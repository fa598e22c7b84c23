"""Personal data: redaction before a model, erasure, audit records."""
