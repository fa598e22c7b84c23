"""The real system under a steady stream of webhooks, with faults in turn."""
