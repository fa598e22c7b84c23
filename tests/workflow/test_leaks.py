"""Requests to a model, without any personal value of thousands of random tickets."""

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from integrations.values import DeskTicket, Document, SimilarTicket, Usage
from privacy.redaction.people import Person
from tests.kit.model import opened
from tests.kit.simulators import Simulator
from tests.workflow.answers import asked
from workflow.answer import Enhancement
from workflow.question import ModelQuestion
from workflow.state import GraphState

# In no list of names: certain because the desk names them.
_FIRST = ("Zsuzsanna", "Övünç", "Þórdís", "Thanh-Mai", "Oluwaseun", "Ciarán", "Jürgen", "Grace", "Mark", "Xiu Ying")
_LAST = ("Halász-Nagy", "Yıldız", "Gunnarsdóttir", "Nguyen", "Adéyemi", "O'Rourke", "Groß", "Baker", "Koch", "Wójcik")
_DE = str.maketrans({"ö": "oe", "ü": "ue", "ä": "ae", "ß": "ss"})


@dataclass(frozen=True)
class PersonalTicket:
    """A ticket with its context, and the values that must not occur in a request."""

    ticket: DeskTicket
    conversation: list[str]
    similar: SimilarTicket
    document: Document
    values: list[str]


def case_by(chance: random.Random) -> PersonalTicket:
    people = [_person(chance) for _ in range(3)]
    values: list[str] = []
    texts = [_text(chance, people[:2], values) for _ in range(3)]
    others = [_text(chance, people[2:], values) for _ in range(2)]
    values += [each.addresses[0] for each in people] + [each.numbers[0] for each in people]
    values += [part for each in people for part in each.name.split() if len(part) > 3]
    subject = f"Problem of {people[0].name}"
    ticket = DeskTicket(
        str(chance.randrange(10_000, 99_999)), subject, texts[0], "High", "Email", "Open", "", people=tuple(people[:2])
    )
    similar = SimilarTicket("77", f"As {people[2].name} had", others[0], people=(people[2],))
    document = Document("Guide", _text(chance, [], values))
    return PersonalTicket(ticket, texts[1:], similar, document, values)


def _person(chance: random.Random) -> Person:
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    name = f"{first} {last}" if chance.random() < 0.7 else f"{last}, {first}"
    local = f"{first}.{last}".lower().replace(" ", "").replace("'", "")
    return Person(name, (f"{local}@acme.example",), (_phone(chance),))


def _text(chance: random.Random, people: list[Person], values: list[str]) -> str:
    lines = ["Hello, since the update of 03.11.2026 the client 7.2.1 shows error 0x80070005 in room 4711."]
    lines += [chance.choice(_SPELLINGS)(person) for person in people]
    for make, label in chance.sample(_VALUES, 4):
        value = make(chance)
        values.append(value)
        lines.append(chance.choice(label).format(value))
    chance.shuffle(lines)
    return "\n".join(lines)


def _halves(person: Person) -> tuple[str, str]:
    if "," in person.name:
        last, first = person.name.split(", ")
        return first, last
    first, _, last = person.name.rpartition(" ")
    return first, last


_SPELLINGS: list[Callable[[Person], str]] = [
    lambda person: f"This is {person.name} from sales.",
    lambda person: f"Regards, {' '.join(_halves(person))}",
    lambda person: f"Please call {_halves(person)[0]} today.",
    lambda person: f"The laptop of {_halves(person)[1].upper()} is slow.",
    lambda person: f"I am {' '.join(_halves(person)).lower()}, write to {person.addresses[0].upper()}",
    lambda person: f"Ask {' '.join(_halves(person)).translate(_DE)} or {person.addresses[0]}.",
    lambda person: f"Reached at {person.numbers[0]}, says {_halves(person)[0]} {_halves(person)[1]}.",
]


def _digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choices("0123456789", k=count))


def _phone(chance: random.Random) -> str:
    number = f"171 {chance.randrange(2_000_000, 9_999_999)}"
    return chance.choice([f"+49 {number}", f"0{number}", f"0049 {number}", f"+49 (0) {number}", f"0{number}"])


def _iban(chance: random.Random) -> str:
    account = f"37040044{_digits(chance, 10)}"
    check = 98 - int(f"{account}131400") % 97
    iban = f"DE{check:02}{account}"
    return iban if chance.random() < 0.5 else " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))


def _card(chance: random.Random) -> str:
    number = f"4{_digits(chance, 14)}"
    doubled = [int(digit) * (2 - at % 2) for at, digit in enumerate(number)]
    check = -sum(each - 9 * (each > 9) for each in doubled) % 10
    whole = f"{number}{check}"
    return whole if chance.random() < 0.5 else "-".join(whole[at : at + 4] for at in range(0, 16, 4))


def _mail(chance: random.Random) -> str:
    return (
        f"{chance.choice('abcdef')}{_digits(chance, 5)}.x@{chance.choice(('gmail.com', 'mail.acme.co.uk', 'web.de'))}"
    )


def _password(chance: random.Random) -> str:
    return f"Q{_digits(chance, 3)}!{chance.choice(('sunny', 'Herbst', 'x_Y'))}{_digits(chance, 3)}"


def _employee(chance: random.Random) -> str:
    return f"E{chance.randrange(100_000, 999_999)}"


_VALUES: list[tuple[Callable[[random.Random], str], tuple[str, ...]]] = [
    (_phone, ("Call me: {}", "Tel. {}", "Mobil {} oder per Mail")),
    (_iban, ("IBAN {}", "Please pay to {} today.", "Konto: {}")),
    (_card, ("Card number {}", "Kreditkarte {}", "I paid with {}.")),
    (_mail, ("Write to {}.", "E-Mail: {}", "<{}>")),
    (_password, ("password: {}", "My password is {}", "Kennwort: {}", "pw={}")),
    (_employee, ("employee number: {}", "Personalnummer {}", "Employee ID {}")),
]


_ROUNDS = 20
_A_ROUND = 100
_AT_ONCE = 8


def state_of(case: PersonalTicket) -> GraphState:
    return {
        "ticket": case.ticket,
        "conversation": case.conversation,
        "similar_tickets": [case.similar],
        "documents": [case.document],
    }


def flat(text: str) -> str:
    """Return a text without variations of spelling."""
    return re.sub(r"[\s().,/+-]", "", text).casefold()


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(_ROUNDS))
async def test_no_value_of_a_ticket_is_in_what_the_model_receives(round_: int, model: Simulator) -> None:
    chance = random.Random(round_)  # noqa: S311 -- the same tickets each time
    cases = [case_by(chance) for _ in range(_A_ROUND)]
    questions = [asked(state_of(case)) for case in cases]
    async with opened(model.url) as client, asyncio.TaskGroup() as all_of_them:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def ask(question: ModelQuestion) -> None:
            async with turns:
                await client.ask(question.prompt, Enhancement, _ignored)

        for question in questions:
            all_of_them.create_task(ask(question))
    received: list[dict[str, Any]] = model.requests(operation="chat")
    texts = ["".join(message["content"] for message in each["payload"]["messages"][1:]) for each in received]
    case_of = {question.prompt.user: case for question, case in zip(questions, cases, strict=True)}
    # Their order is arbitrary.
    assert sorted(texts) == sorted(case_of)
    leaks = [
        (value, case.ticket.ticket_id)
        for case, text in ((case_of[text], flat(text)) for text in texts)
        for value in case.values
        if flat(value) in text
    ]
    assert leaks == []


def _ignored(_usage: Usage) -> None:
    pass
