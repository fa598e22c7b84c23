"""Chat completion requests: parsing, validation, and the client's context.

Source: OpenAI's API reference for chat completions and its error format.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dev.simulators.openai.providers import ApiError, OpenAIConfig, check_body, check_names, check_parts

Document = dict[str, Any]
_FORMATS = frozenset({"text", "json_object", "json_schema"})
_SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class Context(NamedTuple):
    """The client's ticket with its similar tickets and documents, unmodified."""

    ticket: Document
    similar_tickets: Sequence[Document] = ()
    documents: Sequence[Document] = ()
    check: Document | None = None
    """The whole document, if it has numbered claims to check."""

    @property
    def ticket_id(self) -> str | None:
        value = self.ticket.get("id")
        return str(value) if value is not None else None

    @property
    def subject(self) -> str:
        return str(self.ticket.get("subject") or "the reported problem")

    @property
    def words(self) -> str:
        return f"{self.subject} {self.ticket.get('description') or ''} {self.ticket.get('category') or ''}"


def message_text(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def find_context(messages: Sequence[Any]) -> Context | None:
    """Return the context of the last user message that is JSON with a ticket."""
    for message in reversed(messages):
        document = parse_body(message_text(message)) or {}
        if isinstance(message, dict) and message.get("role") == "user" and isinstance(document.get("ticket"), dict):
            sources = [source for source in document.get("sources") or () if isinstance(source, dict)]
            tickets, documents = (
                [each for each in sources if each.get("kind") == kind] for kind in ("ticket", "document")
            )
            return Context(document["ticket"], tickets, documents, document if _is_check(document) else None)
    return None


def _is_check(document: Document) -> bool:
    claims = document.get("claims")
    return isinstance(claims, list) and bool(claims) and all(isinstance(each, dict) for each in claims)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid chat completion request. `schema` is that of `json_schema`, or None."""

    model: str
    messages: list[Any]
    stream: bool
    include_usage: bool
    schema: Document | None
    context: Context | None
    is_response: bool = False
    """True for the Responses API."""

    @property
    def prompt_text(self) -> str:
        return "\n".join(message_text(message) for message in self.messages)


def _response_format(body: Document) -> tuple[str, Document | None]:
    response_format = body.get("response_format") or {"type": "text"}
    inner = response_format.get("json_schema") if isinstance(response_format, dict) else None
    return check_format(response_format, inner, "response_format")


def check_format(response_format: Any, inner: Any, param: str) -> tuple[str, Document | None]:
    """Return the type of a format, and its schema, which `inner` has. Raises ApiError."""
    name = response_format.get("type") if isinstance(response_format, dict) else None
    if name not in _FORMATS:
        raise ApiError(400, f"Invalid value for '{param}.type'.", param=param)
    if name != "json_schema":
        return str(name), None
    path = param if inner is response_format else f"{param}.json_schema"
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        raise ApiError(400, f"Missing required parameter: '{path}'.", param=path)
    if not _SCHEMA_NAME.match(str(inner.get("name", ""))):
        raise ApiError(400, f"Invalid '{path}.name'.", param=f"{path}.name")
    if inner.get("strict"):
        _check_strict(inner["name"], inner["schema"])
    return "json_schema", inner["schema"]


def parse_body(raw: bytes | str) -> Document | None:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def check_request(body: Document | None, config: OpenAIConfig) -> ChatRequest:
    """Return the validated request. Raises ApiError."""
    body, model = check_body(config, body)
    messages = body.get("messages")
    check_names(config, body)
    check_parts(config, body)
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "Missing required parameter: 'messages'.", param="messages")
    if "max_tokens" in body and "max_completion_tokens" in body:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise ApiError(400, message, code="invalid_parameter_combination")
    format_name, schema = _response_format(body)
    request = ChatRequest(
        model=model,
        messages=messages,
        stream=body.get("stream") is True,
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        schema=schema,
        context=find_context(messages),
    )
    if format_name == "json_object" and "json" not in request.prompt_text.lower():
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
        raise ApiError(400, message, param="messages")
    return request


def _check_strict(name: str, schema: Any, path: str = "()") -> None:
    """Raise ApiError for an object with optional keys or open properties.

    Open: without `additionalProperties: false`. Source: OpenAI's guide to structured outputs, "supported schemas".
    """
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        prefix = f"Invalid schema for response_format '{name}': In context={path}, "
        if schema.get("additionalProperties") is not False:
            problem = "'additionalProperties' is required to be supplied and to be false."
            raise ApiError(400, prefix + problem, param="response_format")
        missing = sorted(set(properties or {}) - set(schema.get("required") or []))
        if missing:
            problem = "'required' is required to be supplied and to be an array including every key in properties."
            raise ApiError(400, f"{prefix}{problem} Missing '{missing[0]}'.", param="response_format")
    for group in ("properties", "$defs", "definitions"):
        for key, inner in (schema.get(group) or {}).items():
            _check_strict(name, inner, f"('{group}', '{key}')")
    _check_strict(name, schema.get("items"), "('items',)")
    for alternative in schema.get("anyOf") or []:
        _check_strict(name, alternative, "('anyOf',)")
