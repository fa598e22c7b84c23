"""The redacted question to GPT-4, its restored answer, and its replay."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from config.tenants import MASKINGS, NoteSettings
from integrations.values import Prompt
from knowledge.language import LANGUAGES, languages_of, languages_of_tenant
from privacy.models import AuditRecord
from privacy.redaction.redaction import Redaction
from workflow.answer import Content, Enhancement
from workflow.defanging import without_links
from workflow.grounding import Grounding
from workflow.note import WORDS
from workflow.note_sources import link_in
from workflow.prompt import CURRENT, Instructions, case_of
from workflow.state import Attempt, GraphState

_instructions = lru_cache(1000)(Instructions)
# "WLAN weg" counts as Dutch.
_MIN_LENGTH = 25


@dataclass(frozen=True, slots=True)
class ModelQuestion:
    """A prompt without personal data, and the data to read its answer."""

    prompt: Prompt
    version: str
    language: str
    """The requested language of the answer; empty if the model decides."""
    placeholders: dict[str, str]
    """Placeholder -> value."""
    grounding: Grounding
    masking: str
    """The tenant's setting `note.masking`."""

    def content(self, answer: Enhancement, *, nothing_found: bool, is_judged: bool = False) -> Content:
        """Return the answer's content to show, with fixed words in its language."""
        steps = [step.text for step in answer.next_steps]
        text = " ".join([answer.summary, answer.likely_cause.text, *steps, *answer.questions])
        languages = languages_of(text, tuple(WORDS))
        language = languages[0] if len(languages) == 1 else self.language or "en"
        return self.grounding.content(
            answer, prompt=self.version, language=language, nothing_found=nothing_found, is_judged=is_judged
        )


def question_of(
    attempt: Attempt, state: GraphState, placeholders: Mapping[str, str] | None = None, version: str = CURRENT
) -> ModelQuestion:
    """Return the question about the attempt's ticket.

    `placeholders` are those of an answer to repair; `version` is that of the prompt (`workflow.prompt`).
    """
    tenant, ticket, similar = attempt.tenant_settings(), state["ticket"], state["similar_tickets"]
    tenant_settings = tenant.note
    redaction = Redaction(
        ticket.people,
        others=[person for each in similar for person in each.people],
        network=tenant_settings.masking == "all",
        known=placeholders,
        terms=[*ticket.terms, *(term for each in similar for term in (each.category, each.group))],
    )
    is_redacted = tenant_settings.masking != "none"
    texts = (ticket, state.get("conversation", ()), similar, state["documents"])
    if is_redacted:
        # A value found in one text is hidden in all.
        case_of(*texts, redaction.read, tenant_settings.prompt_bytes)
    case = case_of(*texts, redaction.redact if is_redacted else _unredacted, tenant_settings.prompt_bytes)
    restore = partial(redaction.restore, clean=without_links) if is_redacted else str
    among = languages_of_tenant(tenant)
    language = requested_language(tenant_settings.language, ticket.subject, ticket.description, among)
    instructions = _instructions(tenant_settings.rules, version)
    return ModelQuestion(
        instructions.prompt(case, language),
        instructions.version,
        language,
        redaction.placeholders,
        Grounding(case, restore, partial(link_in, attempt.desk), tenant_settings.rules),
        tenant_settings.masking,
    )


def requested_language(of_tenant: str, subject: str, description: str, among: Sequence[str] = tuple(LANGUAGES)) -> str:
    """Return the language of a note; empty if the ticket's is not certain."""
    if of_tenant != "ticket":
        return of_tenant
    text = f"{subject}\n{description}"
    languages = languages_of(text, among) if len(text) >= _MIN_LENGTH else among
    return languages[0] if len(languages) == 1 else ""


def _unredacted(text: str, *, own: bool = True) -> str:  # noqa: ARG001 -- as `Redaction.redact`
    return text


def prompt_again(record: AuditRecord, note: NoteSettings, version: str | None) -> tuple[Prompt, str]:
    """Return the prompt for recorded content, and its version.

    The recorded version is the default. Another one has the tenant's current rules and language. Raises
    FileNotFoundError for an unknown one.
    """
    if version is None:
        return Prompt(record.system, record.sent), record.prompt
    ticket = json.loads(record.sent)["ticket"]
    language = requested_language(note.language, ticket["subject"], ticket["description"])
    instructions = Instructions(note.rules, version)
    return instructions.prompt(record.sent, language), instructions.version


def may_be_sent_again(record: AuditRecord, note: NoteSettings) -> bool:
    """Return True unless the record is less masked than the tenant now requires."""
    strength = {kind: place for place, kind in enumerate(MASKINGS)}
    return strength.get(record.masking, -1) >= strength[note.masking]
