"""Requests and answers of models, as test data for audit records."""

from typing import Any

from privacy.audit import ModelExchange

SENT = '{"ticket": {"subject": "Mailbox of [PERSON_1] is full", "description": "It is full."}, "sources": []}'
ANSWER: dict[str, Any] = {
    "summary": "The mailbox is full.",
    "likely_cause": {"text": "Large attachments.", "sources": ["T101"]},
    "next_steps": [{"text": "Raise the quota of [PERSON_1].", "sources": []}],
    "sources": [{"id": "T101", "gives": "Also a full mailbox."}],
    "confidence": "high",
    "questions": [],
    **dict.fromkeys(("category", "priority", "group"), ""),
}


def exchange(*tickets: str, **changed: Any) -> ModelExchange:
    sources = [{"id": f"T{number}", "kind": "ticket", "number": number, "title": "Mailbox full"} for number in tickets]
    given: dict[str, Any] = {
        "prompt": "2",
        "model": "m-1",
        "host": "model.example",
        "masking": "personal",
        "system": "You help.",
        "sent": SENT,
        "answer": ANSWER,
        "sources": [*sources, {"id": "D3f2a81", "kind": "document", "title": "Mail quotas"}],
        "input_tokens": 900,
        "output_tokens": 120,
        "cost": 0.002,
        "seconds": 1.5,
    }
    return ModelExchange(**given | changed)
