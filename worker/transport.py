"""Kombu's transport over Redis, with one client for all that is not awaited.

Kombu makes a client anew for each message that it takes and for each that it acknowledges: 6 % of a job's CPU.
"""

from typing import Any

from kombu.transport import redis


class OneClientChannel(redis.Channel):
    """Takes connections from the same pool as ever, each time by the same client."""

    _one_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # the types know no inner parts
        # A channel that was closed gets another pool when it is used again.
        if self._one_client is None or self._one_client.connection_pool is not self.pool:
            self._one_client = super()._create_client()  # type: ignore[misc]
        return self._one_client


class OneClientTransport(redis.Transport):
    """As kombu's, for `redis://` and `rediss://`."""

    Channel = OneClientChannel


NAME = f"{__name__}:{OneClientTransport.__name__}"
"""What Celery is told."""
