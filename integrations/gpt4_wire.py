"""What a request to the model looks like, and what is left out of it where an endpoint refuses it.

The ladder: strict `json_schema`; where that is refused, `json_object` with the schema in the prompt; where that is
refused too, the schema in the prompt alone. Fences around an answer are stripped either way.
"""

import json
import re
from typing import Any
from urllib.parse import urlsplit

import openai
from pydantic import BaseModel

_MOST_TOKENS = 2000
_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_OPTIONAL = ("reasoning_effort", "max_completion_tokens", "max_tokens", "stream_options", "provider")
_FORMATS = ("json_schema", "json_object", "none")


def strip_fence(text: str) -> str:
    """The JSON inside a Markdown fence, or the text as it is."""
    found = _FENCE.match(text)
    return found[1] if found else text


class Wire:
    """How this endpoint wants to be asked; it learns from refusals."""

    def __init__(self, base_url: str, model: str) -> None:
        host = urlsplit(base_url).hostname or ""
        self._openrouter = host == "openrouter.ai" or host.endswith(".openrouter.ai")
        self._model = model
        self._format = 0
        self._left_out: set[str] = set()

    def request(self, messages: list[dict[str, str]], answer_type: type[BaseModel]) -> dict[str, Any]:
        """The arguments of `chat.completions.create`."""
        schema = answer_type.model_json_schema()
        request: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        form = _FORMATS[self._format]
        if form == "json_schema":
            strict = {"name": answer_type.__name__, "strict": True, "schema": schema}
            request["response_format"] = {"type": "json_schema", "json_schema": strict}
        else:
            asked = f"{messages[0]['content']}\nAnswer with one JSON object of this schema:\n{json.dumps(schema)}"
            request["messages"] = [{**messages[0], "content": asked}, *messages[1:]]
            if form == "json_object":
                request["response_format"] = {"type": "json_object"}
        if self._openrouter:
            # Without it a provider may ignore the response format.
            request["extra_body"] = {"provider": {"require_parameters": True}, "reasoning": {"effort": "none"}}
            request["max_tokens"] = _MOST_TOKENS
        else:
            request["reasoning_effort"] = "none"
            request["max_completion_tokens"] = _MOST_TOKENS
        return {name: value for name, value in request.items() if name not in self._left_out}

    def leave_out(self, refusal: openai.BadRequestError, sent: dict[str, Any]) -> bool:
        """Learn from a 400 to the request `sent`. False when it names nothing of it that can be left out.

        Other calls may have learned the same meanwhile: what counts is what was sent, not what would be sent now.
        """
        text = f"{refusal.param or ''} {refusal.message}"
        if "response_format" in text or "json_schema" in text:
            step = _FORMATS.index(str(sent.get("response_format", {}).get("type", "none"))) + 1
            if step == len(_FORMATS):
                return False
            self._format = max(self._format, step)
            return True
        for name in _OPTIONAL:
            argument = "extra_body" if name == "provider" else name
            if name in text and argument in sent:
                self._left_out.add(argument)
                return True
        return False

    def repair(self, unusable: str) -> list[dict[str, str]]:
        """The messages that ask for the same answer in the right form."""
        return [
            {"role": "assistant", "content": unusable[:4000] or "(nothing)"},
            {
                "role": "user",
                "content": "That was not one complete JSON object of the schema. Answer with it alone, shorter.",
            },
        ]
