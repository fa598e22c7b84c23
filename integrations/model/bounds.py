"""A size limit on answers of the model's service.

The openai package reads error bodies, plain bodies and lines of a stream whole, without a size limit. So the bytes are
counted below it, as they arrive.
"""

from collections.abc import AsyncIterator

import httpx2

from integrations.errors import ModelUnavailable, OutsideFailure
from integrations.http import LARGEST_ANSWER_BYTES, AnswerTooLarge
from integrations.model.failures import of_status, wait_asked_for

PLAIN = {"Accept-Encoding": "identity"}
"""Asked of the server: a few compressed bytes may become gigabytes."""


class ModelAnswerTooLarge(AnswerTooLarge):
    """An answer that was cut off; `status` and `retry_after` are from its head."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__("answer too large")
        self.status = response.status_code
        self.retry_after = wait_asked_for(response.headers)

    def classed(self) -> OutsideFailure:
        """Return the failure: the status of an error is enough without its body."""
        if self.status < 300:
            return ModelUnavailable("invalid answer")
        return of_status(self.status, self.retry_after)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, response: httpx2.Response) -> None:
        self._stream = stream
        self._response = response
        self._size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._size += len(part)
            if self._size > LARGEST_ANSWER_BYTES:
                raise ModelAnswerTooLarge(self._response)
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def bound(response: httpx2.Response) -> None:
    """Limit the size of a response; a response hook, called before its body is read.

    A hook and no transport: a client with a transport of its own would bypass the proxy of the environment. Raises
    ModelAnswerTooLarge for a compressed answer.
    """
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ModelAnswerTooLarge(response)
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, response)
