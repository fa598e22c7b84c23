"""Format and signature of a desk's webhooks, for readers and senders."""
