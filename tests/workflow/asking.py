"""Questions about tickets, without a job."""

from typing import Any

from config.tenants import NoteSettings, Tenant
from workflow.question import ModelQuestion, question_of
from workflow.state import GraphState


class _AttemptOf:
    def __init__(self, note: NoteSettings) -> None:
        self._tenant = Tenant("acme", note=note)
        self.model = self.desk = self
        self.name = "gpt-6-luna"

    def wishes(self) -> Tenant:
        return self._tenant

    def link_to(self, ticket_id: str) -> str:
        return f"https://desk.acme.example/{ticket_id}"


def asked(state: GraphState, placeholders: dict[str, str] | None = None, **note: Any) -> ModelQuestion:
    attempt: Any = _AttemptOf(NoteSettings(**note))
    return question_of(attempt, state, placeholders)
