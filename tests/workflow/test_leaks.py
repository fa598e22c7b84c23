"""Requests to a model, without any personal value of thousands of random tickets."""

import asyncio
import random
import re
from collections.abc import Callable

import pytest

from integrations.values import DeskTicket, Person
from knowledge.models import Document, SimilarTicket
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
_ROUNDS, _A_ROUND, _AT_ONCE = 20, 100, 8


class RandomTicket:
    """A ticket with its context, and the values that must not occur in a request."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.values: list[str] = []
        people = [self._person() for _ in range(3)]
        texts = [self._text(people[:2]) for _ in range(3)]
        for each in people:
            self.values += [each.addresses[0], each.numbers[0], *(part for part in each.name.split() if len(part) > 3)]
        subject, number = f"Problem of {people[0].name}", str(chance.randrange(10_000, 99_999))
        similar = SimilarTicket("77", f"As {people[2].name} had", self._text(people[2:]), people=(people[2],))
        self.state: GraphState = {
            "ticket": DeskTicket(number, subject, texts[0], "High", "Email", "Open", "", people=tuple(people[:2])),
            "conversation": texts[1:],
            "similar_tickets": [similar],
            "documents": [Document("Guide", self._text([]))],
        }

    def _person(self) -> Person:
        chance, first, last = self._chance, self._chance.choice(_FIRST), self._chance.choice(_LAST)
        name = f"{first} {last}" if chance.random() < 0.7 else f"{last}, {first}"
        local = f"{first}.{last}".lower().replace(" ", "").replace("'", "")
        return Person(name, (f"{local}@acme.example",), (_phone(chance),))

    def _text(self, people: list[Person]) -> str:
        lines = ["Hello, since the update of 03.11.2026 the client 7.2.1 shows error 0x80070005 in room 4711."]
        for person in people:
            last, _, first = person.name.partition(", ")
            if not first:
                first, _, last = person.name.rpartition(" ")
            given = {"name": person.name, "first": first, "last": last, "whole": f"{first} {last}"}
            given |= {"mail": person.addresses[0], "number": person.numbers[0], "upper": last.upper()}
            given |= {"lower": f"{first} {last}".lower(), "german": f"{first} {last}".translate(_DE)}
            lines.append(self._chance.choice(_SPELLINGS).format(**given, loud=person.addresses[0].upper()))
        for make, labels in self._chance.sample(_VALUES, 4):
            self.values.append(make(self._chance))
            lines.append(self._chance.choice(labels).format(self.values[-1]))
        self._chance.shuffle(lines)
        return "\n".join(lines)


_SPELLINGS = (
    *("This is {name} from sales.", "Regards, {whole}", "Please call {first} today.", "The laptop of {upper} is slow."),
    *("I am {lower}, write to {loud}", "Ask {german} or {mail}.", "Reached at {number}, says {whole}."),
)


def _digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choices("0123456789", k=count))


def _phone(chance: random.Random) -> str:
    number = f"171 {chance.randrange(2_000_000, 9_999_999)}"
    return chance.choice([f"+49 {number}", f"0{number}", f"0049 {number}", f"+49 (0) {number}", f"0{number}"])


def _iban(chance: random.Random) -> str:
    account = f"37040044{_digits(chance, 10)}"
    iban = f"DE{98 - int(f'{account}131400') % 97:02}{account}"
    return iban if chance.random() < 0.5 else " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))


def _card(chance: random.Random) -> str:
    number = f"4{_digits(chance, 14)}"
    doubled = [int(digit) * (2 - at % 2) for at, digit in enumerate(number)]
    whole = f"{number}{-sum(each - 9 * (each > 9) for each in doubled) % 10}"
    return whole if chance.random() < 0.5 else "-".join(whole[at : at + 4] for at in range(0, 16, 4))


def _mail(chance: random.Random) -> str:
    domain = chance.choice(("gmail.com", "mail.acme.co.uk", "web.de"))
    return f"{chance.choice('abcdef')}{_digits(chance, 5)}.x@{domain}"


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


def flat(text: str) -> str:
    """Return a text without variations of spelling."""
    return re.sub(r"[\s().,/+-]", "", text).casefold()


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(_ROUNDS))
async def test_no_value_of_a_ticket_is_in_what_the_model_receives(round_: int, model: Simulator) -> None:
    chance = random.Random(round_)  # noqa: S311 -- the same tickets each time
    tickets = [RandomTicket(chance) for _ in range(_A_ROUND)]
    questions = [asked(ticket.state) for ticket in tickets]
    async with opened(model.url) as client, asyncio.TaskGroup() as all_of_them:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def ask(question: ModelQuestion) -> None:
            async with turns:
                await client.complete(question.prompt, Enhancement, lambda _usage: None)

        for question in questions:
            all_of_them.create_task(ask(question))
    received = model.requests(operation="chat")
    texts = ["".join(message["content"] for message in each["payload"]["messages"][1:]) for each in received]
    values_of = {question.prompt.user: ticket.values for question, ticket in zip(questions, tickets, strict=True)}
    # Their order is arbitrary.
    assert sorted(texts) == sorted(values_of)
    leaks = [(value, text) for text in texts for value in values_of[text] if flat(value) in flat(text)]
    assert leaks == []
