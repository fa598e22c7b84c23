"""Parsing and validation of chat completion requests, with OpenAI's reasons for refusal.

Source: OpenAI's API reference for chat completions and its error format.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from simulators.openai.api_error import ApiError
from simulators.openai.context import Context, find_context, message_text
from simulators.openai.providers import check_model, check_names, check_parts
from simulators.openai.settings import OpenAIConfig
from simulators.openai.strict_schemas import SchemaRefusedError, check_strict

Json = dict[str, Any]
_FORMATS = frozenset({"text", "json_object", "json_schema"})
_SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid chat completion request. `schema` is that of `json_schema`, or None."""

    model: str
    messages: list[Any]
    stream: bool
    include_usage: bool
    schema: Json | None
    context: Context | None

    @property
    def prompt_text(self) -> str:
        return "\n".join(message_text(message) for message in self.messages)


def _response_format(body: Json) -> tuple[str, Json | None]:
    wanted = body.get("response_format") or {"type": "text"}
    name = wanted.get("type") if isinstance(wanted, dict) else None
    if name not in _FORMATS:
        raise ApiError(400, "Invalid value for 'response_format.type'.", param="response_format")
    if name != "json_schema":
        return str(name), None
    inner = wanted.get("json_schema")
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        message = "Missing required parameter: 'response_format.json_schema'."
        raise ApiError(400, message, param="response_format.json_schema")
    if not _SCHEMA_NAME.match(str(inner.get("name", ""))):
        message = "Invalid 'response_format.json_schema.name'."
        raise ApiError(400, message, param="response_format.json_schema.name")
    if inner.get("strict"):
        try:
            check_strict(inner["schema"])
        except SchemaRefusedError as error:
            message = f"Invalid schema for response_format '{inner['name']}': {error}"
            raise ApiError(400, message, param="response_format") from None
    return "json_schema", inner["schema"]


def parse_body(raw: bytes) -> Json | None:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def check_request(body: Json | None, config: OpenAIConfig) -> ChatRequest:
    """Return the validated request. Raises ApiError."""
    if body is None:
        raise ApiError(400, "We could not parse the JSON body of your request.")
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "you must provide a model parameter", param="model")
    check_model(config, model)
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
