"""The endpoint's HTTP entry point: authentication, journal, faults, response."""

import secrets
import time
from collections import deque
from typing import Any

from starlette.types import Receive, Scope, Send

from simulators.exchange import Answer, ClientLeftError, Exchange
from simulators.faults import FaultBook
from simulators.journal import Entry, Journal, selected_headers
from simulators.openai.api_error import ApiError
from simulators.openai.chat_request import ChatRequest, check_request, parse_body
from simulators.openai.context import find_context, message_text
from simulators.openai.delivery import ConnectionCutError, ReplyDelivery
from simulators.openai.embeddings import answer_embeddings
from simulators.openai.openai_faults import OpenAIFault, applies, in_place_of_an_answer
from simulators.openai.providers import ROOTS, check_key, no_address
from simulators.openai.reply import Reply, think
from simulators.openai.settings import OpenAIConfig
from simulators.openai.spoiled import spoil

Json = dict[str, Any]
MAX_ANSWERS = 2_000


def _bodies(raw: bytes, body: Json) -> list[str]:
    """Return the body raw and without the escapes of two JSON layers, for `match`."""
    texts = [raw.decode("utf-8", "replace")]
    messages = body.get("messages")
    if isinstance(messages, list):
        texts += [message_text(message) for message in messages]
        context = find_context(messages)
        if context is not None:
            texts += [str(value) for value in context.ticket.values()]
    return texts


class OpenAIDoor:
    """The ASGI application for every path outside the control interface."""

    def __init__(self, config: OpenAIConfig, faults: FaultBook[OpenAIFault], journal: Journal) -> None:
        self._config = config
        root = ROOTS[config.provider]
        self._operations = {f"{root}/chat/completions": "chat", f"{root}/embeddings": "embeddings"}
        self._faults = faults
        self._journal = journal
        self.answers: deque[Json] = deque(maxlen=MAX_ANSWERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire = Exchange(scope, receive, send)
        try:
            raw = await wire.read_body()
            body = parse_body(raw)
            entry = self._remember(scope, raw, body)
            await self._respond(wire, entry, scope, raw, body)
        except ClientLeftError:
            return
        finally:
            wire.release()

    def _remember(self, scope: Scope, raw: bytes, body: Json | None) -> Entry:
        messages = (body or {}).get("messages")
        context = find_context(messages) if isinstance(messages, list) else None
        return self._journal.receive(
            method=scope["method"],
            path=scope["path"],
            operation=self._operations.get(scope["path"], "unknown") if scope["method"] == "POST" else "unknown",
            payload=body if body is not None else raw.decode("utf-8", "replace")[:2000] or None,
            payload_bytes=len(raw),
            headers=selected_headers(scope["headers"]),
            ticket_id=context.ticket_id if context else None,
        )

    def _take_fault(self, raw: bytes, body: Json) -> OpenAIFault | None:
        texts: list[str] = []

        def fits(fault: OpenAIFault) -> bool:
            if not applies(fault, body):
                return False
            if fault.match is None:
                return True
            if not texts:
                texts.extend(_bodies(raw, body))
            return any(fault.match in text for text in texts)

        return self._faults.take(fits)

    async def _respond(self, wire: Exchange, entry: Entry, scope: Scope, raw: bytes, body: Json | None) -> None:
        started = time.monotonic()
        headers = {"x-request-id": f"req_{secrets.token_hex(16)}", "openai-version": "2020-10-01"}
        fault = self._take_fault(raw, body or {}) if entry.operation == "chat" else None
        entry.fault = fault.kind if fault else None
        try:
            if fault is not None and fault.kind == "silence":
                await wire.pause(None)
            answer = in_place_of_an_answer(fault, self._config.provider, headers) if fault else None
            if answer is not None:
                entry.status = answer.status
                await wire.answer(answer)
            else:
                self._check(scope, entry.operation)
                entry.status = 200
                if entry.operation == "embeddings":
                    await wire.answer(Answer.of_json(200, answer_embeddings(body, self._config), headers))
                else:
                    await self._chat(wire, check_request(body, self._config), fault, headers)
            entry.outcome = "answered"
        except ApiError as error:
            entry.status, entry.outcome = error.status, "answered"
            await wire.answer(error.answer(self._config.provider, headers))
        except ConnectionCutError:
            entry.outcome = "cut"
        except ClientLeftError:
            entry.outcome = "client_left"
        finally:
            entry.seconds = round(time.monotonic() - started, 4)

    def _check(self, scope: Scope, operation: str) -> None:
        """Raise ApiError for a wrong key or address."""
        check_key(self._config, dict(scope["headers"]).get(b"authorization", b""))
        if operation == "unknown":
            raise no_address(self._config, scope["method"], scope["path"])

    async def _chat(
        self, wire: Exchange, request: ChatRequest, fault: OpenAIFault | None, headers: dict[str, str]
    ) -> None:
        reply = think(request)
        if fault is not None:
            reply = spoil(reply, fault.kind, request.context)
        self._keep(request, reply, fault, headers["x-request-id"])
        await ReplyDelivery(wire, self._config, request, reply, fault, self._faults, headers).send()

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
