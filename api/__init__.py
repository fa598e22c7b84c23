"""HTTP in: verify, record, queue, 202."""
