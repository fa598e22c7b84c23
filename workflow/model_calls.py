"""Spans, metrics and cost of model requests.

OpenTelemetry's GenAI conventions are in development, so their names are only here. Prompt and answer, which are ticket
text, are included only if the operator has opted in.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from integrations.errors import ExternalError
from integrations.values import ModelAnswer, Prompt, Usage
from observability import metrics, tracing
from workflow.ports import Model
from workflow.question import ModelQuestion
from workflow.state import Attempt


@contextmanager
def model_span(
    attempt: Attempt, question: ModelQuestion, name: str, step: str
) -> Iterator[Callable[[ModelAnswer[Any]], None]]:
    """Record a request as a span and in the metrics; the result is called with the answer."""
    attributes = _request_attributes(attempt.model, question.version)
    if attempt.capture_messages:
        attributes |= _messages(question.prompt)
    with (
        tracing.span(name, kind=SpanKind.CLIENT, attributes=attributes) as span,
        metrics.step(step),
        metrics.external_call("gpt4", attempt.claim.tenant_id, ExternalError, model=attempt.model.name),
    ):

        def record_answer(answer: ModelAnswer[Any]) -> None:
            span.set_attributes(_response_attributes(answer))
            if attempt.capture_messages:
                span.set_attributes(_reply(answer))

        yield record_answer


def count_paid(attempt: Attempt, usage: Usage) -> None:
    # Labelled with the requested model: the name in an answer is external and may be anything.
    tokens = usage.input_tokens, usage.output_tokens
    metrics.tokens_paid(attempt.claim.tenant_id, usage.model or attempt.model.name, tokens, usage.cost)


def _request_attributes(model: Model, prompt_version: str) -> dict[str, AttributeValue]:
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


def _response_attributes(answer: ModelAnswer[Any]) -> dict[str, AttributeValue]:
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


def _messages(prompt: Prompt) -> dict[str, AttributeValue]:
    return {
        "gen_ai.system_instructions": json.dumps([_text(prompt.system)]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [_text(prompt.user)]}]),
    }


def _reply(answer: ModelAnswer[Any]) -> dict[str, AttributeValue]:
    parts = [_text(answer.content.model_dump_json())]
    message = {"role": "assistant", "parts": parts, "finish_reason": answer.finish_reason}
    return {"gen_ai.output.messages": json.dumps([message])}


def _text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}
