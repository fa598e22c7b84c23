"""Identity of deliveries; `remember_deliveries` (SQL) keeps them for ten minutes."""

_SIGNED = "signed:"


def signed_key(digest: str) -> str:
    """Return the key of the signed bytes: it stays known whatever became of the job."""
    return _SIGNED + digest


def is_signed_key(key: str) -> bool:
    return key.startswith(_SIGNED)
