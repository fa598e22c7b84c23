"""The HTTP door of the endpoint: key, memory, faults, answer."""

import hmac
import secrets
import time
from collections import deque
from typing import Any

from starlette.types import Receive, Scope, Send

from simulators.faults import FaultBook
from simulators.journal import Entry, Journal, selected_headers
from simulators.openai.chat_request import (
    ApiError,
    ChatRequest,
    check_request,
    parse_body,
    unknown_model,
)
from simulators.openai.context import find_context, message_text
from simulators.openai.delivery import ConnectionCutError, Delivery
from simulators.openai.openai_faults import OpenAIFault, applies, in_place_of_an_answer
from simulators.openai.reply import Reply, think
from simulators.openai.settings import OpenAIConfig
from simulators.openai.spoiled import spoil
from simulators.wire import Answer, ClientLeftError, Wire

Json = dict[str, Any]
MAX_ANSWERS = 2_000


def _operation(method: str, path: str) -> tuple[str, str | None]:
    """Return the operation and, for a read of a model, its id; OpenRouter has `/api` in front."""
    rest = path.removeprefix("/api")
    if method == "POST" and rest == "/v1/chat/completions":
        return "chat", None
    if method == "GET" and rest == "/v1/models":
        return "list_models", None
    if method == "GET" and rest.startswith("/v1/models/"):
        return "read_model", rest.removeprefix("/v1/models/")
    return "unknown", None


def _bodies(raw: bytes, body: Json | None) -> list[str]:
    """Return the texts in which `match` may occur: raw, and without the escapes of two JSON layers."""
    texts = [raw.decode("utf-8", "replace")]
    messages = (body or {}).get("messages")
    if isinstance(messages, list):
        texts += [message_text(message) for message in messages]
        context = find_context(messages)
        if context is not None:
            texts += [str(value) for value in context.ticket.values()]
    return texts


class OpenAIDoor:
    """The ASGI application behind every path that is not the control interface."""

    def __init__(self, config: OpenAIConfig, faults: FaultBook[OpenAIFault], journal: Journal) -> None:
        self._config = config
        self._faults = faults
        self._journal = journal
        self.answers: deque[Json] = deque(maxlen=MAX_ANSWERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Receive, remember and answer one request."""
        wire = Wire(scope, receive, send)
        try:
            raw = await wire.read_body()
            body = parse_body(raw)
            operation, model = _operation(scope["method"], scope["path"])
            entry = self._remember(scope, operation, raw, body)
            await self._respond(wire, entry, scope, raw, body, model)
        except ClientLeftError:
            return
        finally:
            wire.release()

    def _remember(self, scope: Scope, operation: str, raw: bytes, body: Json | None) -> Entry:
        messages = (body or {}).get("messages")
        context = find_context(messages) if isinstance(messages, list) else None
        return self._journal.receive(
            method=scope["method"],
            path=scope["path"],
            operation=operation,
            payload=body if body is not None else raw.decode("utf-8", "replace")[:2000] or None,
            payload_bytes=len(raw),
            headers=selected_headers(scope["headers"]),
            ticket_id=context.ticket_id if context else None,
        )

    def _take_fault(self, operation: str, raw: bytes, body: Json | None) -> OpenAIFault | None:
        texts: list[str] = []

        def fits(fault: OpenAIFault) -> bool:
            if fault.operation not in {None, operation} or not applies(fault, body):
                return False
            if fault.match is None:
                return True
            if not texts:
                texts.extend(_bodies(raw, body))
            return any(fault.match in text for text in texts)

        return self._faults.take(fits)

    async def _respond(
        self, wire: Wire, entry: Entry, scope: Scope, raw: bytes, body: Json | None, model: str | None
    ) -> None:
        started = time.monotonic()
        headers = {"x-request-id": f"req_{secrets.token_hex(16)}", "openai-version": "2020-10-01"}
        fault = self._take_fault(entry.operation, raw, body)
        entry.fault = fault.kind if fault else None
        try:
            if fault is not None and fault.kind == "silence":
                await wire.pause(None)
            answer = self._immediate(entry.operation, fault, scope, body, model, headers)
            if answer is not None:
                entry.status = answer.status
                await wire.answer(answer)
            else:
                entry.status = 200
                await self._chat(wire, check_request(body, self._config), fault, headers)
            entry.outcome = "answered"
        except ApiError as error:
            entry.status, entry.outcome = error.status, "answered"
            await wire.answer(error.answer(headers))
        except ConnectionCutError:
            entry.outcome = "cut"
        except ClientLeftError:
            entry.outcome = "client_left"
        finally:
            entry.seconds = round(time.monotonic() - started, 4)

    def _immediate(
        self,
        operation: str,
        fault: OpenAIFault | None,
        scope: Scope,
        body: Json | None,
        model: str | None,
        headers: dict[str, str],
    ) -> Answer | None:
        """Return the answer of everything but a chat that goes on to be thought about (None)."""
        if fault is not None:
            spoiled = in_place_of_an_answer(fault, body, headers)
            if spoiled is not None:
                return spoiled
        self._check_key(scope)
        if operation == "list_models":
            return Answer.of_json(200, {"object": "list", "data": self._models()}, headers)
        if operation == "read_model":
            found = next((entry for entry in self._models() if entry["id"] == model), None)
            return Answer.of_json(200, found, headers) if found else unknown_model(model or "").answer(headers)
        if operation == "unknown":
            raise ApiError(404, f"Invalid URL ({scope['method']} {scope['path']})")
        return None

    def _check_key(self, scope: Scope) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, f"Bearer {self._config.api_key}".encode()):
            message = "Incorrect API key provided." if given else "You didn't provide an API key."
            raise ApiError(401, message, code="invalid_api_key")

    def _models(self) -> list[Json]:
        return [
            {"id": name, "object": "model", "created": 1_780_000_000, "owned_by": "openai"}
            | ({"shutdown_date": end} if end is not None else {})
            for name, end in self._config.models.items()
        ]

    async def _chat(self, wire: Wire, request: ChatRequest, fault: OpenAIFault | None, headers: dict[str, str]) -> None:
        reply = think(request)
        if fault is not None:
            reply = spoil(reply, fault.kind)
        self._keep(request, reply, fault, headers["x-request-id"])
        await Delivery(wire, self._config, request, reply, fault, headers).send()

    def _keep(self, request: ChatRequest, reply: Reply, fault: OpenAIFault | None, request_id: str) -> None:
        self.answers.append(
            {
                "time": time.time(),
                "request_id": request_id,
                "id": reply.id,
                "model": reply.model,
                "ticket_id": request.context.ticket_id if request.context else None,
                "stream": request.stream,
                "content": reply.content,
                "refusal": reply.refusal,
                "finish_reason": reply.finish_reason,
                "usage": reply.usage,
                "fault": fault.kind if fault else None,
            }
        )
