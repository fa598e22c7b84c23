"""The Responses API: requests, and the answer as one object or as events.

Source: https://developers.openai.com/api/reference/resources/responses (create, streaming events).
"""

import json
from collections.abc import Mapping
from typing import Any

from dev.simulators.openai.providers import ApiError, OpenAIConfig, check_body
from dev.simulators.openai.reply import Document, Reply, pieces
from dev.simulators.openai.requests import ChatRequest, check_format, find_context

_KNOWN = {"model", "input", "instructions", "stream", "store", "text", "reasoning", "max_output_tokens"}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def check_response_request(body: Document | None, config: OpenAIConfig) -> ChatRequest:
    """Return the validated request. Raises ApiError."""
    body, model = check_body(config, body)
    for name in body.keys() - _KNOWN:
        raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    messages = body.get("input")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    effort = (body.get("reasoning") or {}).get("effort", "none")
    if "reasoning" in body and "gpt-4" in model:
        message = "Unsupported parameter: 'reasoning.effort' is not supported with this model."
        raise ApiError(400, message, param="reasoning.effort", code="unsupported_parameter")
    if effort not in _EFFORTS:
        message = f"Unsupported value: '{effort}' is not supported with this model."
        raise ApiError(400, message, param="reasoning.effort", code="unsupported_value")
    if body.get("max_output_tokens", 16) < 16:
        message = "Invalid 'max_output_tokens': integer below minimum value."
        raise ApiError(400, message, param="max_output_tokens", code="integer_below_min_value")
    form = (body.get("text") or {}).get("format") or {"type": "text"}
    name, schema = check_format(form, form, "text.format")
    context = find_context(messages)
    request = ChatRequest(model, messages, body.get("stream") is True, True, schema, context, is_response=True)
    if name == "json_object" and "json" not in request.prompt_text.lower():
        raise ApiError(400, "Response input messages must contain the word 'json' in some form.", param="input")
    return request


def response_of(reply: Reply, status: str | None = None) -> Document:
    """Return the response object; `status`: of an unfinished one, without output."""
    part: Document = {"type": "output_text", "text": reply.content or "", "annotations": []}
    if reply.refusal:
        part = {"type": "refusal", "refusal": reply.refusal}
    reason = None if status else _INCOMPLETE.get(reply.finish_reason)
    message = {"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "content": [part]}
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "total_tokens": "total_tokens"}
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": reply.created,
        "model": reply.model,
        "status": status or ("incomplete" if reason else "completed"),
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": [] if status else [message],
        "store": False,
        "usage": None if status else {name: reply.usage[chat_name] for name, chat_name in names.items()},
    }


def response_event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode("utf-8", "replace")


def delta_events(reply: Reply, count: int) -> list[bytes]:
    """Return the text in at most `count` events."""
    kind, text = ("refusal", reply.refusal) if reply.refusal else ("output_text", reply.content)
    place: Mapping[str, Any] = {"item_id": f"msg_{reply.id}", "output_index": 0, "content_index": 0}
    return [
        response_event(f"response.{kind}.delta", delta=piece, sequence_number=number, **place)
        for number, piece in enumerate(pieces(text or "", count), 1)
    ]


def last_event(reply: Reply) -> bytes:
    response = response_of(reply)
    return response_event(f"response.{response['status']}", response=response)
