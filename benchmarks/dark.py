"""`python -m benchmarks.dark api|worker ...`: the product's own command with all of observability taken out.

The baseline of the cost of observability, so nothing of it may be left to pay for: no span is made, HTTP and SQL are
not instrumented, no metric is counted, no identifier is bound and no line is rendered. Only the lines that a process is
ready and those of failures stay, so that a run that breaks is seen. It is no setting of the product: the lines that
support greps for are printed whatever the settings say.
"""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span
from prometheus_client.metrics import MetricWrapperBase

import integrations.http
import storage.session
from observability import counting, identifiers, logging, metrics, phrases, timing, tracing

_say = logging.say


class _NoTracing:
    def __init__(self, service_name: str, traces_dir: object = None) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class _NoMetric:
    """Takes every call of a metric, of its labels and of its blocks."""

    def labels(self, *_: object) -> "_NoMetric":
        return self

    def track_inprogress(self) -> AbstractContextManager[None]:
        return nullcontext()

    def inc(self, _amount: object = 1) -> None:
        """Nothing."""

    observe = set = set_function = inc

    def set_to_current_time(self) -> None:
        """Nothing."""


def _no_say(phrase: phrases.Phrase, given: Mapping[str, object] | None = None, **values: Any) -> None:
    if phrase is phrases.PROCESS_READY or phrase.level in ("warning", "error"):
        _say(phrase, given, **values)


def _no_span(_name: str, **_: object) -> AbstractContextManager[Span]:
    return nullcontext(INVALID_SPAN)


def _nothing(*_: object, **__: object) -> None:
    return None


def _no_block(*_: object, **__: object) -> AbstractContextManager[None]:
    return nullcontext()


def switch_off() -> None:
    """Replace what the product will import: before it does."""
    replaced: dict[Any, dict[str, object]] = {
        logging: {"say": _no_say},
        identifiers: {"bind": _nothing, "bound": _no_block},
        tracing: {
            "Tracing": _NoTracing,
            "span": _no_span,
            "record_failure": _nothing,
            "queue_span": _nothing,
            "traceparent": lambda: "",
            "context_of": _nothing,
            "links_to": lambda _: [],
            "untraced": _no_block,
        },
        metrics: {name: _NoMetric() for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)},
        counting: dict.fromkeys(("webhook", "expect_outcomes", "job_ended", "tokens_paid"), _nothing),
        timing: {"step": _no_block, "external_call": lambda *_, **__: nullcontext(timing.Call())},
        integrations.http: {"TracedTransport": lambda transport: transport},
        storage.session: {"trace_statements": _nothing},
    }
    for module, names in replaced.items():
        for name, nothing in names.items():
            assert hasattr(module, name), f"{module.__name__}.{name} is there no more"  # noqa: S101 -- or it would cost on
            setattr(module, name, nothing)


if __name__ == "__main__":
    switch_off()
    from support.cli import main

    sys.exit(main(sys.argv[1:]))
