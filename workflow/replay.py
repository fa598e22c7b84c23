"""Replay of a recorded question, with another prompt or model."""

import json

from config.tenant_settings import MASKINGS
from integrations.values import Prompt
from storage.models import AuditRecord
from workflow.prompts import Instructions
from workflow.question import wanted_language
from workflow.wishes import NoteWishes


def prompt_again(record: AuditRecord, wishes: NoteWishes, version: str | None) -> tuple[Prompt, str]:
    """Return the prompt for recorded content, and its version.

    The recorded version is the default. Another one has the tenant's current rules and language. Raises
    FileNotFoundError for an unknown one.
    """
    if version is None:
        return Prompt(record.system, record.sent), record.prompt
    ticket = json.loads(record.sent)["ticket"]
    language = wanted_language(wishes.language, ticket["subject"], ticket["description"])
    instructions = Instructions(wishes.rules, version)
    return instructions.prompt_of(record.sent, language), instructions.version


def may_be_sent_again(record: AuditRecord, wishes: NoteWishes) -> bool:
    """Return True unless the record is less masked than the tenant now requires."""
    strength = {kind: place for place, kind in enumerate(MASKINGS)}
    return strength.get(record.masking, -1) >= strength[wishes.masking]
