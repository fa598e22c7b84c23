"""The texts that GPT-4 gets. Each version is a file; a change of wording is a new one, which the GPT-4 span tells."""

import hashlib
from pathlib import Path

from integrations.values import Prompt
from workflow.case import TicketCase

CURRENT = "2"
_VERSIONS = Path(__file__).with_name("prompt_versions")
# Languages by their codes, as `servicedesk.languages` has them. Of any other the code is told.
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
    """Return the versions that there are, oldest first."""
    return sorted((path.stem for path in _VERSIONS.glob("*.txt")), key=lambda version: (len(version), version))


class Instructions:
    """One version of what GPT-4 is told, with what a tenant adds to it.

    Raises FileNotFoundError for a version that has no file.
    """

    def __init__(self, house_rules: str = "", version: str = CURRENT) -> None:
        self._text = (_VERSIONS / f"{version}.txt").read_text(encoding="utf-8")
        self._house_rules = house_rules.strip()
        added = hashlib.sha256(self._house_rules.encode()).hexdigest()[:8]
        self.version = f"{version}+{added}" if self._house_rules else version
        """What was asked, as spans, feedback and records name it: with another addition it is another one."""

    def prompt(self, case: TicketCase, language: str = "") -> Prompt:
        """Return the prompt for a case; the answer is wanted in that language, in the ticket's if it is empty."""
        return self.prompt_of(case.as_json(), language)

    def prompt_of(self, sent: str, language: str = "") -> Prompt:
        """Return the same for what a model was sent of a case before."""
        asked = f"Write in {_NAMES.get(language, language)}." if language else "Write in the language of the ticket."
        house = f"\n\n{_HOUSE}\n{self._house_rules}" if self._house_rules else ""
        return Prompt(f"{self._text.strip()} {asked}{house}\n", sent)
