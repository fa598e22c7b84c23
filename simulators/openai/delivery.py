"""Delivery of a reply in one piece or as server-sent events, with stream faults."""

import json
from dataclasses import dataclass
from typing import Any

from simulators.exchange import Answer, Exchange
from simulators.faults import FaultBook
from simulators.openai.chat_request import ChatRequest
from simulators.openai.openai_faults import OpenAIFault, error_document
from simulators.openai.reply import Reply, chunk, completion, content_chunks
from simulators.openai.settings import OpenAIConfig

Json = dict[str, Any]
_EVENTS = "text/event-stream; charset=utf-8"


class ConnectionCutError(Exception):
    """The fault has closed the connection; nothing more can be sent."""


def _event(document: Json) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"


@dataclass(frozen=True, slots=True)
class ReplyDelivery:
    """The delivery of one reply: `headers` are always sent, `faults` holds its fault."""

    wire: Exchange
    config: OpenAIConfig
    request: ChatRequest
    reply: Reply
    fault: OpenAIFault | None
    faults: FaultBook[OpenAIFault]
    headers: dict[str, str]

    async def send(self) -> None:
        """Send the reply. Raises ClientLeftError, or ConnectionCutError after a fault's cut."""
        if self.fault is not None and self.fault.kind == "huge":
            opening = b'data: {"choices": [{"index": 0, "delta": {"content": "'
            await self.wire.flood(opening, self.fault.megabytes, _EVENTS)
        elif self.request.stream and not (self.fault is not None and self.fault.kind == "not_streamed"):
            await self._stream()
        else:
            await self.wire.pause(self.config.seconds)
            await self.wire.answer(Answer.of_json(200, completion(self.reply), self.headers))

    async def _stream(self) -> None:
        usage, wire = self.request.include_usage, self.wire
        await wire.start(200, {"content-type": _EVENTS, "cache-control": "no-cache"} | self.headers)
        if self.config.provider == "openrouter":
            # Source: https://openrouter.ai/docs/api-reference/streaming, comments while waiting for an endpoint.
            await wire.write(b": OPENROUTER PROCESSING\n\n")
        await wire.pause(self.config.first_token_seconds)
        await self._write(chunk(self.reply, {"role": "assistant", "content": "", "refusal": None}, with_usage=usage))
        if not self.reply.empty:
            await self._stream_content()
            await self._write(chunk(self.reply, {}, finish=self.reply.finish_reason, with_usage=usage))
        if usage:
            await self._write(chunk(self.reply, None, with_usage=True))
        await wire.write(b"data: [DONE]\n\n", last=True)

    async def _write(self, document: Json) -> None:
        if self.reply.empty:
            document = {**document, "choices": []}
        await self.wire.write(_event(document))

    async def _stream_content(self) -> None:
        slow = self.fault if self.fault is not None and self.fault.kind == "slow_stream" else None
        pieces = (slow.pieces if slow else None) or self.config.chunks
        chunks = content_chunks(self.reply, pieces, with_usage=self.request.include_usage)
        pace = max(0.0, self.config.seconds - self.config.first_token_seconds) / max(1, len(chunks))
        for number, document in enumerate(chunks):
            await self._misbehave_at(number)
            await self._write(document)
            await self.wire.pause(slow.seconds if slow and self.faults.holds(slow) else pace)
        if self.fault is not None and self.fault.after >= len(chunks):
            await self._misbehave_at(self.fault.after)

    async def _misbehave_at(self, number: int) -> None:
        """Apply the fault after `number` pieces; return if it has no effect here or has ended."""
        fault = self.fault
        if fault is None or number != fault.after:
            return
        match fault.kind:
            case "stall":
                await self.wire.pause(None)
            case "keep_alive":
                await self._repeat(b": OPENROUTER PROCESSING\n\n", fault.seconds, fault.comments)
            case "empty_deltas":
                await self._repeat(_event(chunk(self.reply, {"content": ""})), fault.seconds, None)
            case "error_event":
                await self.wire.write(_event(error_document(fault)), last=True)
                raise ConnectionCutError
            case "cut":
                await self.wire.hang_up()
                raise ConnectionCutError

    async def _repeat(self, data: bytes, seconds: float, times: int | None) -> None:
        sent = 0
        while times is None or sent < times:
            await self.wire.write(data)
            await self.wire.pause(max(seconds, 0.01))
            sent += 1
