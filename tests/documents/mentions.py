"""What stands between back quotes in a document: which kind it is, and whether there is such a thing.

A mention whose shape shows its kind (a metric, an alert, a setting, a path, ...) must be one. Any other must be found
somewhere: a log line, a word of the product, a panel, a name of Kubernetes. What is neither fails the test, so that
nothing goes unchecked.
"""

import re
from collections.abc import Callable

from tests.documents import (
    apart,
    cluster_words,
    commands,
    log_lines,
    repository,
    sources,
    statuses,
    texts,
    vocabulary,
)
from tests.documents.documents import ROOT, Document

_PATH_STARTS = "api|worker|workflow|integrations|storage|observability|config|support|simulators|devstack|docs|tests"
_FOLDERS = re.compile(rf"(?:{_PATH_STARTS}|benchmarks|k8s|requirements)/[\w./*-]*")
_URL = re.compile(r"https?://[^\s]+")


def _is_path(text: str) -> bool:
    return (ROOT / text).exists() or any(ROOT.glob(text))


def _is_address(text: str) -> bool:
    return text in vocabulary.ADDRESSES


_STATES = ("waiting", "running", "completed", "skipped", "failed")
# Fields whose values are few, and known.
_VALUES: dict[str, Callable[[str], bool]] = {
    "reason": lambda value: log_lines.gives_known_reason(f"reason={value}") or _begins_a_word(value),
    "state": lambda value: value in _STATES,
    "outcome": lambda value: value in _STATES or texts.is_word(value),
    "status": statuses.is_known,
    "cause": texts.is_word,
    "verified": lambda value: value in ("yes", "no"),
    "took_ms": str.isdecimal,
    "ticket_history": lambda value: value in ("Yes", "No"),
    "docs": lambda value: value in ("Yes", "No"),
}


def _begins_a_word(text: str) -> bool:
    """`desk ` stands for `desk unavailable` and `desk busy`."""
    return text.endswith(" ") and any(word.startswith(text) for word in texts.words())


def _pairs(text: str) -> list[tuple[str, str]]:
    """`tag=value` and `field: value` of a log line, or several of them; none if it is something else."""
    found = [re.fullmatch(r"([a-z_.]+)[=:]\s*(.*)", part) for part in re.split(r", (?=[a-z_.]+[=:])", text)]
    return [(pair[1], pair[2]) for pair in found if pair] if all(found) else []


def _is_pair(text: str) -> bool:
    pairs = _pairs(text)
    return bool(pairs) and all(
        texts.is_word(value) if field in vocabulary.ATTRIBUTES else field in sources.tags() or texts.is_word(field)
        for field, value in pairs
    )


def _has_a_wrong_value(text: str) -> bool:
    return any(
        field in _VALUES and value.strip("….<>") and not value.startswith("<") and not _VALUES[field](value)
        for field, value in _pairs(text)
    )


def _is_output(text: str) -> bool:
    return texts.is_word(text.strip().rstrip(":"))


def _is_metric(text: str) -> bool:
    return text in sources.metric_names() or text.rstrip("…") in ("process_", "python_") or text in sources.families()


def _is_setting(text: str) -> bool:
    text = text.partition("=")[0]
    return sources.is_setting(text) or text in vocabulary.OTHER_SETTINGS


def _is_route(text: str) -> bool:
    route = text.rsplit(maxsplit=1)[-1]
    # Those of workers are no routes of FastAPI's.
    return route in sources.routes() | vocabulary.DESK_ROUTES or route in texts.words()


# The first shape that fits decides.
_BY_SHAPE: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("command", re.compile(rf"(?:{'|'.join(sorted(apart.PROGRAMS))}) .+"), commands.is_known),
    ("metric", re.compile(r"(?:ai_agents|process|python)_\w*…?"), _is_metric),
    ("alert", re.compile(r"AiAgents\w+"), lambda text: text in sources.alerts()),
    ("status", re.compile(r"[1-5]\d\d ?"), statuses.is_known),
    ("address", _URL, _is_address),
    ("path", _FOLDERS, _is_path),
    ("setting", re.compile(r"(?:[A-Z][A-Z0-9]*_)+(?:[A-Z0-9]+|<TENANT>)?(?:=\w+)?"), _is_setting),
    ("route", re.compile(r"(?:POST |GET )?/[a-z]+(?:/[a-z]+)?"), _is_route),
    ("header", re.compile(r"X-[\w-]+"), lambda text: texts.is_word(text.lower())),
    ("argument of make", re.compile(r"ARGS=.+"), lambda _: True),
    ("name in Kubernetes", re.compile(r"ai-agents-[a-z]+"), lambda text: text in cluster_words.KUBERNETES_NAMES),
    ("tag", re.compile(r"[a-z]+_id"), lambda text: text in sources.tags() or texts.is_word(text)),
    ("span", re.compile("|".join(map(re.escape, sources.spans()))), lambda _: True),
)
_BY_SEARCH: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("phrase", log_lines.is_phrase),
    ("part of a phrase", log_lines.is_phrase_part),
    ("panel", lambda text: text in vocabulary.panels()),
    ("stored", sources.is_stored),
    ("pair", _is_pair),
    ("word", _is_output),
    ("of others", lambda text: text in vocabulary.OF_OTHERS),
    ("example", lambda text: any(pattern.fullmatch(text) for pattern in vocabulary.EXAMPLES)),
)


def kind_of(text: str, document: Document) -> str | None:
    """The mention's kind; None if there is no such thing."""
    text = text.removeprefix("| ")
    if _has_a_wrong_value(text) or statuses.is_wrong_in(text):
        return None
    for kind, shape, exists in _BY_SHAPE:
        if shape.fullmatch(text):
            # Of `NAME=value` the name.
            return kind if exists(text) or _is_of_others(text.split("=")[0], document) else None
    for kind, exists in _BY_SEARCH:
        if exists(text):
            return kind
    return "code" if _is_of_others(text, document) else None


def _is_of_others(text: str, document: Document) -> bool:
    """In documents for developers, whatever the repository has; everywhere, what is listed with its reason."""
    if text in vocabulary.OF_OTHERS or _are_options_of_others(text):
        return True
    if document.is_for_support:
        return False
    return repository.has(text) or (document.path.parent / text).exists()


def _are_options_of_others(text: str) -> bool:
    return all(option.startswith("--") and option in vocabulary.OF_OTHERS for option in text.split())


def unknown_mentions(document: Document) -> list[str]:
    """`line: text` of each mention that is nothing that there is."""
    return [f"{mention.line}: {mention.text}" for mention in document.mentions() if not kind_of(mention.text, document)]
