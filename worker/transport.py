"""Kombu's Redis transport with one synchronous client, for job messages only.

Kombu makes a client for each message that it takes and for each that it acknowledges: 6 % of a job's CPU.
"""

from collections.abc import Sequence
from typing import Any

from kombu.transport import redis, virtual

from dispatch.queue import job_id_of, message_of
from observability import metrics, phrases
from observability.logging import say


class FreeingQoS(redis.QoS):
    """Frees a message's slot even if Redis refuses its acknowledgement.

    Without slots a worker takes no job. The message returns after the visibility timeout, and finds nothing to claim.
    """

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)
        finally:
            virtual.QoS.ack(self, delivery_tag)


class OneClientChannel(redis.Channel):
    """Takes connections from the same pool, through a single client."""

    QoS = FreeingQoS
    _one_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            client = super()._create_client(asynchronous=True)  # type: ignore[misc]  # the types know no inner parts
            client.set_response_callback("BRPOP", _job_taken)
            return client
        # A channel that was closed gets another pool when it is used again.
        if self._one_client is None or self._one_client.connection_pool is not self.pool:
            self._one_client = super()._create_client()  # type: ignore[misc]
        return self._one_client


def _job_taken(reply: Sequence[bytes] | None, **_: object) -> tuple[bytes, str] | None:
    """Return list and message of a BRPOP reply; None for a message of no job.

    The message is rebuilt from its job's id, and a malformed one is dropped: Kombu and Celery end the worker over one
    that is not JSON or has a part of a wrong type, and quote it in the log.
    """
    if not reply:
        return None
    name, message = reply
    job_id = job_id_of(message)
    if job_id is None:
        metrics.MESSAGES_UNREADABLE.inc()
        say(phrases.MESSAGE_UNREADABLE, size=len(message))
        return None
    return name, message_of(job_id, "")


class OneClientTransport(redis.Transport):
    """Kombu's transport, for `redis://` and `rediss://`."""

    Channel = OneClientChannel


NAME = f"{__name__}:{OneClientTransport.__name__}"
"""What Celery is told."""
