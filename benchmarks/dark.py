"""`python -m benchmarks.dark api|worker ...`: the product without observability.

The baseline of a comparison: no spans, instrumentation of HTTP and SQL, metrics or bound identifiers; the only lines
are readiness, warnings and errors. It is not a setting of the product: support relies on the lines.
"""

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Self

from opentelemetry.trace import INVALID_SPAN
from prometheus_client.metrics import MetricWrapperBase

import integrations.http
import storage.session
from observability import counting, identifiers, logging, metrics, phrases, timing, tracing

_say = logging.say


class _Nothing:
    """Accepts every call, attribute and block."""

    def __getattr__(self, _name: str) -> Self:
        return self

    def __call__(self, *_: object, **__: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def _say_failures(phrase: phrases.Phrase, given: Mapping[str, object] | None = None, **values: Any) -> None:
    if phrase is phrases.PROCESS_READY or phrase.level in ("warning", "error"):
        _say(phrase, given, **values)


def switch_off() -> None:
    """Replace observability before the product imports it."""
    nothing, metric = _Nothing(), MetricWrapperBase
    names_of_metrics = [name for name, value in vars(metrics).items() if isinstance(value, metric)]
    replaced: dict[Any, dict[str, object]] = {
        logging: {"say": _say_failures},
        identifiers: dict.fromkeys(("bind", "bound"), nothing),
        tracing: dict.fromkeys(("Tracing", "record_failure", "queue_span", "untraced"), nothing)
        | {
            "span": lambda *_, **__: nullcontext(INVALID_SPAN),
            "traceparent": lambda: "",
            "context_of": lambda *_: None,
            "links_to": lambda _: [],
        },
        metrics: dict.fromkeys(names_of_metrics, nothing),
        counting: dict.fromkeys(("webhook", "expect_outcomes", "job_ended", "tokens_paid"), nothing),
        timing: {"step": nothing, "external_call": lambda *_, **__: nullcontext(timing.Call())},
        integrations.http: {"TracedTransport": lambda transport: transport},
        storage.session: {"trace_statements": nothing},
    }
    for module, names in replaced.items():
        for name, replacement in names.items():
            assert hasattr(module, name), f"{module.__name__}.{name} does not exist"  # noqa: S101 -- or it would cost on
            setattr(module, name, replacement)


if __name__ == "__main__":
    switch_off()
    from support.cli import main

    sys.exit(main(sys.argv[1:]))
