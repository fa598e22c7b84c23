"""What makes two webhooks the same delivery; `remember_deliveries` of `functions.sql` knows them for ten minutes."""

_SIGNED = "signed:"


def signed_key(digest: str) -> str:
    """Return the key of the very bytes that were signed: it stays known for its time, whatever became of their job."""
    return _SIGNED + digest


def is_signed_key(key: str) -> bool:
    """Return True for a key that `signed_key` made."""
    return key.startswith(_SIGNED)
