"""Pods and services of the documents' commands get the needed settings."""

import re

import pytest

from tests.containers.files import settings
from tests.documents.documents import documents
from tests.kubernetes.rendering import WHOLE, Rendered, mounted, variables

# Requirements of each command. A tenant's settings that are not secret are in all pods.
NEEDS: dict[str, set[str]] = {
    **{verb: {"database"} for verb in ("jobs", "show", "retry", "psql", "trace", "audit", "feedback", "documents")},
    "secrets status": {"database", "webhook"},
    "secrets rotate": {"database", "webhook"},
    "signing-kit": {"webhook"},
    "diagnose": {"database", "redis", "desk", "model"},
    "check": {"database", "redis", "desk", "model"},
    "check --url": {"webhook"},
    # The settings of a closed tenant are looked for in each pod.
    "check --no-model": {"database"},
    "sync": {"database", "redis", "desk"},
    "enhance": {"database"},
    "forget": {"database", "redis"},
    "replay": {"database", "model"},
}
_OF_SECRETS = {
    "ai-agents-secrets": "webhook",
    "ai-agents-desk-secrets": "desk",
    "ai-agents-model-secrets": "model",
    "ai-agents-console-secrets": "console",
}
_OF_SETTINGS = {
    "DATABASE_URL": "database",
    "REDIS_URL": "redis",
    "WEBHOOK_SECRET_ACME": "webhook",
    "SERVICEDESK_API_KEY_ACME": "desk",
    "OPENAI_API_KEY": "model",
}
_TYPED = re.compile(
    r"(?:kubectl exec (?P<pod>[^|`\n]*?) -- |docker compose exec (?P<service>[a-z]+) )ai-agents (?P<words>[^|`\n;)]*)"
)


def given(pod: str) -> set[str]:
    """Return the settings that the manifests give a deployment's pods."""
    production = Rendered("production")
    whole = {secret for secret, keys in mounted(production, pod).items() if WHOLE in keys}
    keys = {key for one in variables(production, pod).values() for key in one}
    stores = {kind for key, kind in (("DATABASE_URL", "database"), ("REDIS_PASSWORD", "redis")) if key in keys}
    return {_OF_SECRETS[secret] for secret in whole} | stores


def given_to_service(service: str) -> set[str]:
    """Return the settings that the Compose file gives a service."""
    values = settings(service)
    return {kind for setting, kind in _OF_SETTINGS.items() if values.get(setting)}


def verb_of(words: str) -> str:
    verb, *rest = words.split()
    if verb == "secrets":
        return f"secrets {rest[0]}"
    option = next((option for option in ("--url", "--no-model") if verb == "check" and option in rest), None)
    return f"check {option}" if option else verb


def lacking(text: str) -> list[str]:
    """Return each command of a text whose pod lacks a setting, with that setting."""
    found = []
    for typed in _TYPED.finditer(text):
        needs = NEEDS[verb_of(typed["words"])]
        if typed["service"]:
            has = given_to_service(typed["service"])
        else:
            # A pod with a literal name may belong to any deployment.
            named = re.search(r"deployment/(ai-agents-[a-z]+)", typed["pod"])
            pods = [named[1]] if named else ["ai-agents-api", "ai-agents-worker", "ai-agents-housekeeping"]
            has = set.intersection(*map(given, pods))
        if missing := needs - has:
            found.append(f"{typed[0]}: {', '.join(sorted(missing))}")
    return found


def test_each_command_is_typed_where_it_has_what_it_uses() -> None:
    everything = {document.name: document.text for document in documents()}
    assert sum(len(_TYPED.findall(text)) for text in everything.values()) > 40
    assert {name: wrong for name, text in everything.items() if (wrong := lacking(text))} == {}


@pytest.mark.parametrize(
    ("typed", "missing"),
    [
        ("kubectl exec deployment/ai-agents-api -n n -- ai-agents diagnose --ticket 1", "desk, model"),
        ("kubectl exec -n n deployment/ai-agents-worker -- ai-agents secrets status", "webhook"),
        ("kubectl exec deployment/ai-agents-worker -n n -- ai-agents check --url https://x/webhook", "webhook"),
        ('kubectl exec "$POD" -n n -- ai-agents sync', "desk"),
        ("docker compose exec api ai-agents diagnose --ticket 1", "desk, model"),
    ],
)
def test_a_command_in_the_wrong_place_is_found(typed: str, missing: str) -> None:
    assert lacking(f"Type `{typed}`.") == [f"{typed}: {missing}"]
