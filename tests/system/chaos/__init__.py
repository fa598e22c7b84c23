"""The real system under a steady stream of webhooks, while everything around it breaks in turn."""
