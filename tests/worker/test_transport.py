"""The transport by which a worker takes and acknowledges messages."""

from celery import Celery
from kombu import Queue
from redis import Redis

from worker.consumer import TRANSPORT_NAME, OneClientChannel


def celery(redis_url: str) -> Celery:
    return Celery(broker=redis_url, set_as_current=False, broker_transport=TRANSPORT_NAME)


def test_what_is_not_awaited_goes_by_one_client_until_the_channel_is_closed(redis_url: str) -> None:
    with celery(redis_url).connection_for_read() as connection:
        channel = connection.channel()
        assert isinstance(channel, OneClientChannel)
        first = channel._create_client()
        assert channel._create_client() is first
        assert channel._create_client(asynchronous=True) is not first
        channel._disconnect_pools()  # type: ignore[attr-defined]
        after = channel._create_client()
        assert after is not first
        assert after.ping()


def test_a_message_is_held_until_it_is_acknowledged(redis_url: str) -> None:
    redis: Redis = Redis.from_url(redis_url)
    with celery(redis_url).connection_for_read() as connection:
        queue = Queue("one-client", channel=connection.channel())
        queue.declare()
        connection.Producer().publish({"number": 1}, routing_key="one-client")
        assert redis.llen("one-client") == 1
        message = queue.get()
        assert message is not None
        assert (redis.llen("one-client"), redis.hlen("unacked")) == (0, 1)
        message.ack()
        assert redis.hlen("unacked") == 0
