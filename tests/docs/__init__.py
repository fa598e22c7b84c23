"""The documents for support, proved on the running system."""
