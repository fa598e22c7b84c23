"""The simulated endpoint: authentication, journal, faults, and answers."""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dev.simulators.answers import METHODS, ConnectionCutError, Json, flood, followed, gone, pause
from dev.simulators.control import Entry, Journal, clearing, control_routes, show_validation_error
from dev.simulators.faults import FaultBook
from dev.simulators.openai.embeddings import answer_embeddings
from dev.simulators.openai.faults import OpenAIFault, applies, error_document, replacement, spoil
from dev.simulators.openai.providers import ROOTS, ApiError, OpenAIConfig, check_key
from dev.simulators.openai.reply import Reply, chunk, completion, content_chunks, think
from dev.simulators.openai.requests import ChatRequest, check_request, find_context, message_text, parse_body
from dev.simulators.openai.responses import (
    check_response_request,
    delta_events,
    last_event,
    response_event,
    response_of,
)

Document = dict[str, Any]
MAX_ANSWERS = 2_000
_EVENTS = "text/event-stream; charset=utf-8"
# Source: https://openrouter.ai/docs/api-reference/streaming, comments while waiting for an endpoint.
_COMMENT = b": OPENROUTER PROCESSING\n\n"


class StreamEndedError(Exception):
    """The stream ends early, but correctly."""


def _event(document: Document) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"


def _texts(raw: bytes, body: Document) -> list[str]:
    """Return the body raw and without the escapes of two JSON layers, for `match`."""
    texts = [raw.decode("utf-8", "replace")]
    messages = body.get("messages") or body.get("input")
    if isinstance(messages, list):
        texts += [message_text(message) for message in messages]
        context = find_context(messages)
        texts += [str(value) for value in context.ticket.values()] if context else []
    return texts


class ModelServer:
    """The API, at every path outside the control interface."""

    def __init__(self, config: OpenAIConfig) -> None:
        self._config = config
        root = ROOTS[config.provider]
        self._operations = {f"{root}/chat/completions": "chat", f"{root}/embeddings": "embeddings"}
        self._operations[f"{root}/responses"] = "responses"
        self.faults: FaultBook[OpenAIFault] = FaultBook()
        self.journal = Journal()
        self.answers: deque[Document] = deque(maxlen=MAX_ANSWERS)

    async def answer(self, request: Request) -> Response:
        raw, path = await request.body(), request.scope["path"]
        body = parse_body(raw)
        messages = (body or {}).get("messages") or (body or {}).get("input")
        context = find_context(messages) if isinstance(messages, list) else None
        operation = self._operations.get(path, "unknown") if request.method == "POST" else "unknown"
        if operation in ("chat", "responses") and context and context.check:
            operation = "check"
        payload = body if body is not None else raw.decode("utf-8", "replace")[:2000] or None
        entry = self.journal.receive(request, operation, payload, ticket_id=context.ticket_id if context else None)
        fault = self._take_fault(raw, body or {}) if operation in ("chat", "responses") else None
        entry.fault = fault.kind if fault else None
        headers = {"x-request-id": f"req_{secrets.token_hex(16)}", "openai-version": "2020-10-01"}
        try:
            response = await self._response(request, entry, body, fault, headers)
        except ApiError as error:
            response = error.answer(self._config.provider, headers)
        except ClientDisconnect:
            entry.end("client_left")
            raise
        entry.status = response.status_code
        if not isinstance(response, StreamingResponse):
            entry.end("answered")
        return response

    def _take_fault(self, raw: bytes, body: Document) -> OpenAIFault | None:
        texts = _texts(raw, body)
        return self.faults.take(
            lambda fault: applies(fault, body) and (fault.match is None or any(fault.match in text for text in texts))
        )

    async def _response(
        self,
        request: Request,
        entry: Entry,
        body: Document | None,
        fault: OpenAIFault | None,
        headers: dict[str, str],
    ) -> Response:
        kind = fault.kind if fault else None
        if kind == "silence":
            await pause(request)
        if fault and (response := replacement(fault, self._config.provider, headers)):
            return response
        check_key(self._config, request.headers.get("authorization", ""))
        if entry.operation == "unknown":
            is_azure = self._config.provider == "azure"
            raise ApiError(404, "Resource not found" if is_azure else f"Invalid URL ({request.method} {entry.path})")
        if entry.operation == "embeddings":
            return Json(answer_embeddings(body, self._config), headers=headers)
        check = check_response_request if entry.path.endswith("/responses") else check_request
        chat = check(body, self._config)
        reply = spoil(think(chat), kind or "", chat.context)
        self._keep(chat, reply, kind, headers["x-request-id"])
        if fault and kind == "huge":
            parts = flood(b'data: {"choices": [{"index": 0, "delta": {"content": "', fault.megabytes)
        elif chat.stream and kind != "not_streamed":
            parts = self._streamed(chat, reply, fault)
        else:
            await pause(request, self._config.seconds)
            return Json(response_of(reply) if chat.is_response else completion(reply), headers=headers)
        headers["cache-control"] = "no-cache"
        return StreamingResponse(followed(entry, parts), headers=headers, media_type=_EVENTS)

    def _keep(self, request: ChatRequest, reply: Reply, fault: str | None, request_id: str) -> None:
        reply_fields = ("id", "model", "content", "refusal", "finish_reason", "usage")
        ticket_id = request.context.ticket_id if request.context else None
        self.answers.append(
            {"time": time.time(), "request_id": request_id, "ticket_id": ticket_id, "stream": request.stream}
            | {name: getattr(reply, name) for name in reply_fields}
            | {"fault": fault}
        )

    async def _streamed(self, request: ChatRequest, reply: Reply, fault: OpenAIFault | None) -> AsyncIterator[bytes]:
        if request.is_response:
            async for part in self._streamed_response(request, reply, fault):
                yield part
            return
        usage = request.include_usage
        if self._config.provider == "openrouter":
            yield _COMMENT
        await asyncio.sleep(self._config.first_token_seconds)
        opening = chunk(reply, {"role": "assistant", "content": "", "refusal": None}, with_usage=usage)
        if reply.empty:
            yield _event(opening | {"choices": []})
        else:
            yield _event(opening)
            try:
                async for part in self._content(request, reply, fault):
                    yield part
            except StreamEndedError:
                return
            yield _event(chunk(reply, {}, finish=reply.finish_reason, with_usage=usage))
        if usage:
            yield _event(chunk(reply, None, with_usage=True))
        yield b"data: [DONE]\n\n"

    async def _streamed_response(
        self, request: ChatRequest, reply: Reply, fault: OpenAIFault | None
    ) -> AsyncIterator[bytes]:
        await asyncio.sleep(self._config.first_token_seconds)
        yield response_event("response.created", response=response_of(reply, "in_progress"))
        try:
            async for part in self._content(request, reply, fault):
                yield part
        except StreamEndedError:
            return
        yield last_event(reply)

    async def _content(self, request: ChatRequest, reply: Reply, fault: OpenAIFault | None) -> AsyncIterator[bytes]:
        slow = fault if fault and fault.kind == "slow_stream" else None
        pieces = (slow.pieces if slow else None) or self._config.chunks
        if request.is_response:
            chunks = delta_events(reply, pieces)
        else:
            chunks = [_event(each) for each in content_chunks(reply, pieces, with_usage=request.include_usage)]
        pace = max(0.0, self._config.seconds - self._config.first_token_seconds) / max(1, len(chunks))
        breaks_at = min(fault.after, len(chunks)) if fault else None
        for number, document in enumerate([*chunks, None]):
            if fault and number == breaks_at:
                async for part in _fault_data(fault, reply):
                    yield part
            if document is not None:
                yield document
                await asyncio.sleep(slow.seconds if slow and self.faults.holds(slow) else pace)


async def _fault_data(fault: OpenAIFault, reply: Reply) -> AsyncIterator[bytes]:
    """Yield a fault's data. Raises ConnectionCutError or StreamEndedError."""
    match fault.kind:
        case "stall":
            await asyncio.Event().wait()
        case "keep_alive" | "empty_deltas":
            data = _COMMENT if fault.kind == "keep_alive" else _event(chunk(reply, {"content": ""}))
            sent = 0
            while sent != fault.comments:
                yield data
                await asyncio.sleep(max(fault.seconds, 0.01))
                sent += 1
        case "error_event":
            yield _event(error_document(fault))
            raise StreamEndedError
        case "cut":
            raise ConnectionCutError


def create_openai(config: OpenAIConfig | Mapping[str, Any]) -> Starlette:
    """Return the ASGI app of the endpoint. Raises pydantic.ValidationError."""
    server = ModelServer(OpenAIConfig.model_validate(config))

    async def answers(_request: Request) -> Response:
        return JSONResponse({"answers": list(server.answers)})

    return Starlette(
        routes=[
            *control_routes(server.faults, OpenAIFault, server.journal),
            Route("/_sim/answers", answers),
            Route("/_sim/answers", clearing(server.answers.clear), methods=["DELETE"]),
            Route("/{path:path}", server.answer, methods=METHODS),
        ],
        exception_handlers={ValidationError: show_validation_error, ClientDisconnect: gone},
    )
