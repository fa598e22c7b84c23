"""OpenTelemetry's GenAI attributes for the GPT-4 span.

The conventions are in development, so their names are kept here. Prompt and answer, which are ticket text, are included
only if the operator has opted in.
"""

import json
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.util.types import AttributeValue

from integrations.values import ModelAnswer, Prompt
from workflow.enhancement import Enhancement
from workflow.ports import Model


def request_attributes(model: Model, prompt_version: str) -> dict[str, AttributeValue]:
    address = urlsplit(model.base_url)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": model.provider,
        "gen_ai.request.model": model.name,
        "gen_ai.output.type": "json",
        "server.address": address.hostname or "",
        "server.port": address.port or (443 if address.scheme == "https" else 80),
        "prompt.version": prompt_version,
    }


def response_attributes(answer: ModelAnswer[Any]) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.response.model": answer.model,
        "gen_ai.response.id": answer.response_id,
        "gen_ai.response.finish_reasons": [answer.finish_reason],
        "gen_ai.usage.input_tokens": answer.usage.input_tokens,
        "gen_ai.usage.output_tokens": answer.usage.output_tokens,
        "http.response.status_code": answer.status,
    }
    if answer.usage.cost is not None:
        attributes["gen_ai.usage.cost"] = answer.usage.cost
    return attributes


def question(prompt: Prompt) -> dict[str, AttributeValue]:
    return {
        "gen_ai.system_instructions": json.dumps([_text(prompt.system)]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [_text(prompt.user)]}]),
    }


def reply(answer: ModelAnswer[Enhancement]) -> dict[str, AttributeValue]:
    parts = [_text(answer.content.model_dump_json())]
    message = {"role": "assistant", "parts": parts, "finish_reason": answer.finish_reason}
    return {"gen_ai.output.messages": json.dumps([message])}


def _text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}
