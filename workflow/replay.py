"""Asking again what a job has asked: by its audit record, with another prompt, or of another model."""

import json

from config.tenant_settings import MASKINGS
from integrations.values import Prompt
from storage.models import AuditRecord
from workflow.prompts import Instructions
from workflow.question import wanted_language
from workflow.wishes import NoteWishes


def prompt_again(record: AuditRecord, wishes: NoteWishes, version: str | None) -> tuple[Prompt, str]:
    """Return the prompt about what was sent then, and its version: what was told then, where none is given.

    That of a version has the tenant's rules and language as they are now. Raises FileNotFoundError for one that there
    is not.
    """
    if version is None:
        return Prompt(record.system, record.sent), record.prompt
    ticket = json.loads(record.sent)["ticket"]
    language = wanted_language(wishes.language, ticket["subject"], ticket["description"])
    instructions = Instructions(wishes.rules, version)
    return instructions.prompt_of(record.sent, language), instructions.version


def may_be_sent_again(record: AuditRecord, wishes: NoteWishes) -> bool:
    """Return True unless less was masked then than the tenant wants now: what was sent then may not leave any more."""
    strength = {kind: place for place, kind in enumerate(MASKINGS)}
    return strength.get(record.masking, -1) >= strength[wishes.masking]
