"""The prompt texts for GPT-4, one file per version, which the GPT-4 span names."""

import hashlib
from pathlib import Path

from integrations.values import Prompt
from workflow.case import TicketCase

CURRENT = "2"
_VERSIONS = Path(__file__).with_name("prompt_versions")
# Language names by code, as in `servicedesk.languages`. Other languages appear as their code.
_NAMES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
}
_HOUSE = "The desk itself asks for this as well, as far as it does not contradict the above:"


def versions() -> list[str]:
    return sorted((path.stem for path in _VERSIONS.glob("*.txt")), key=lambda version: (len(version), version))


class Instructions:
    """One version of the instructions, with the tenant's rules.

    Raises FileNotFoundError for a version without a file.
    """

    def __init__(self, house_rules: str = "", version: str = CURRENT) -> None:
        self._text = (_VERSIONS / f"{version}.txt").read_text(encoding="utf-8")
        self._house_rules = house_rules.strip()
        added = hashlib.sha256(self._house_rules.encode()).hexdigest()[:8]
        self.version = f"{version}+{added}" if self._house_rules else version
        """What was asked, as spans, feedback and records name it: with another addition it is another one."""

    def prompt(self, case: TicketCase, language: str = "") -> Prompt:
        """Return the prompt for a case; an empty language means the ticket's."""
        return self.prompt_of(case.as_json(), language)

    def prompt_of(self, sent: str, language: str = "") -> Prompt:
        asked = f"Write in {_NAMES.get(language, language)}." if language else "Write in the language of the ticket."
        house = f"\n\n{_HOUSE}\n{self._house_rules}" if self._house_rules else ""
        return Prompt(f"{self._text.strip()} {asked}{house}\n", sent)
