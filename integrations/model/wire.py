"""Requests to the model, without the parts that an endpoint refuses.

The order of formats: strict `json_schema`; if refused, `json_object` with the schema in the prompt; if refused too, the
schema in the prompt alone. Fences around an answer are always removed.
"""

import json
import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import openai
from pydantic import BaseModel

from integrations.model.errors import message_of

REFUSALS = (openai.BadRequestError, openai.NotFoundError)
"""What may be about a part of the request, and not about the whole."""
Refusal = openai.BadRequestError | openai.NotFoundError
_MOST_TOKENS = 2000
_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_FORMATS = ("json_schema", "json_object", "none")
_LEARNED_SECONDS = 600.0
# OpenRouter's 404 if no endpoint takes all parts; it names none. The strict schema goes first: the schema is then in
# the prompt. Without `reasoning` a model may think, which is paid; without `provider` an endpoint may ignore the rest.
_NO_ENDPOINT = "No endpoints found that can handle the requested parameters"
_UNNAMED = ("json_schema", "reasoning", "json_object", "provider")
# Quoted names, and words that can only be such a name: "no provider available" is about no parameter.
_NAMES = re.compile(r"""["'`]([a-z_]+)(?=["'`.\[])|\b([a-z]+(?:_[a-z]+)+)\b""")


def strip_fence(text: str) -> str:
    found = _FENCE.match(text)
    return found[1] if found else text


class Wire:
    """The request format of one endpoint.

    A refused part is left out for ten minutes, once a request without it has succeeded: one odd answer must not degrade
    all later ones, and an endpoint may add support.
    """

    def __init__(self, base_url: str, model: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        host = urlsplit(base_url).hostname or ""
        self._openrouter = host == "openrouter.ai" or host.endswith(".openrouter.ai")
        self._model = model
        self._monotonic = monotonic
        self._refused_until: dict[str, float] = {}

    def refused(self) -> frozenset[str]:
        now = self._monotonic()
        return frozenset(name for name, until in self._refused_until.items() if until > now)

    def keep(self, learned: frozenset[str]) -> None:
        until = self._monotonic() + _LEARNED_SECONDS
        self._refused_until |= dict.fromkeys(learned, until)

    def request(
        self, messages: list[dict[str, str]], answer_type: type[BaseModel], refused: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        schema = _schema_of(answer_type)
        request: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        form = next(form for form in _FORMATS if form not in refused)
        if form == "json_schema":
            strict = {"name": answer_type.__name__, "strict": True, "schema": schema}
            request["response_format"] = {"type": "json_schema", "json_schema": strict}
        else:
            asked = f"{messages[0]['content']}\nAnswer with one JSON object of this schema:\n{json.dumps(schema)}"
            request["messages"] = [{**messages[0], "content": asked}, *messages[1:]]
            if form == "json_object":
                request["response_format"] = {"type": "json_object"}
        if self._openrouter:
            # Without `provider` an endpoint may ignore the response format.
            extra = {"provider": {"require_parameters": True}, "reasoning": {"effort": "none"}}
            request["extra_body"] = {name: value for name, value in extra.items() if name not in refused}
            request["max_tokens"] = _MOST_TOKENS
        else:
            request["reasoning_effort"] = "none"
            request["max_completion_tokens"] = _MOST_TOKENS
        return {name: value for name, value in request.items() if name not in refused}

    def repair(self, unusable: str) -> list[dict[str, str]]:
        return [
            {"role": "assistant", "content": unusable[:4000] or "(nothing)"},
            {
                "role": "user",
                "content": "That was not one complete JSON object of the schema. Answer with it alone, shorter.",
            },
        ]


def as_body(request: dict[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = request.get("extra_body", {})
    return {name: value for name, value in request.items() if name != "extra_body"} | extra


@cache
def _schema_of(answer_type: type[BaseModel]) -> dict[str, Any]:
    return answer_type.model_json_schema()


def refused_part(refusal: Refusal, sent: dict[str, Any]) -> str | None:
    """Return the part to leave out after a refusal of `sent`; None if there is none."""
    form = sent.get("response_format", {}).get("type")
    parts = dict.fromkeys(("response_format", "json_schema", "json_object"), form) if form else {}
    optional = {"reasoning_effort", "max_completion_tokens", "max_tokens", "stream_options"} & set(sent)
    parts |= {name: name for name in optional | set(sent.get("extra_body", {}))}
    if isinstance(refusal, openai.NotFoundError):
        unnamed = _UNNAMED if message_of(refusal).startswith(_NO_ENDPOINT) else ()
        return next((name for name in unnamed if name in parts.values()), None)
    return next((parts[name] for name in _named(refusal) if name in parts), None)


def _named(refusal: Refusal) -> list[str]:
    param: object = refusal.param
    if isinstance(param, str) and param:
        return [re.split(r"[.\[]", param)[0]]
    return [quoted or word for quoted, word in _NAMES.findall(message_of(refusal))]
