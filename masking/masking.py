"""Masking: placeholders in place of what is personal, and the values in their place again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from masking.accounts import accounts, cards
from masking.addresses import addresses
from masking.asked_secrets import asked_secrets, rows
from masking.command_secrets import command_secrets
from masking.desk_names import DeskNames
from masking.folding import Folded, folded
from masking.found import Located, again, settled
from masking.identities import Identities
from masking.ids import ids
from masking.keys import key_of
from masking.mails import mails
from masking.named_numbers import alike
from masking.names import persons
from masking.network import hosts
from masking.people import Person
from masking.phones import phones
from masking.placeholders import Placeholders, looked, unchanged
from masking.reading import ReadText, reading
from masking.said_secrets import assigned_secrets, near_secrets
from masking.secret_labels import labels
from masking.secrets import secrets
from masking.table_secrets import secrets_of_tables
from masking.told_secrets import told_secrets

# Beyond so many values each spelling of a telephone number is one by itself: to compare two takes its time.
_MOST_COMPARED = 500


class Masking:
    """Of the texts of one conversation with a model: the same value has the same placeholder in all of them.

    `people` are those of the ticket, `others` those of texts that are not its own: there alone a part of one of their
    names means them. `network` tells to mask postal addresses, IP and MAC addresses and names of hosts as well. `known`
    are the `placeholders` of an earlier one.
    """

    def __init__(
        self,
        people: Sequence[Person] = (),
        *,
        others: Sequence[Person] = (),
        network: bool = False,
        known: Mapping[str, str] | None = None,
    ) -> None:
        self._own = _Finder(people, network=network)
        self._finder = _Finder([*people, *others], network=network) if others else self._own
        self._placeholders = Placeholders(known or {})
        self._identities = Identities()
        self._of_others = set(self._finder.names.keys).difference(self._own.names.keys)
        for key in self._finder.names.keys:
            self._identities.add(key, is_settled=True)
        for placeholder, value in (known or {}).items():
            if placeholder.startswith("[PERSON_"):
                self._identities.add(key_of("PERSON", value))

    def mask(self, text: str, *, own: bool = True) -> str:
        """Return the text with placeholders.

        `own=False` is a text of another ticket or a document: its secrets become "[SECRET]", and are never restored.
        """
        told = folded(text)
        out, at = [], 0
        for find in (self._own if own else self._finder).finds(told.text):
            out += [told.original(at, find.begin), self._placeholder(find, told, own=own)]
            at = find.end
        return "".join([*out, told.original(at, len(told.text))])

    def _placeholder(self, find: Located, told: Folded, *, own: bool) -> str:
        if find.kind == "SECRET" and not own:
            return "[SECRET]"
        written = find.value or told.text[find.begin : find.end]
        is_known_slowly = find.kind == "PHONE" and len(self._placeholders.values) > _MOST_COMPARED
        key = written if is_known_slowly else key_of(find.kind, written)
        if find.kind == "PERSON":
            key, part = self._identities.of(key), key
            if own and key in self._of_others and key != part:
                # Somebody of another ticket may have that name as well: it comes back as it was written here.
                key = f"{part} of this ticket"
        return self._placeholders.of(find.kind, key, find.value or told.original(find.begin, find.end))

    def restore(self, text: str, clean: Callable[[str], str] = unchanged) -> str:
        """Return a text of the model with the values, each as `clean` returns it; what was invented in plain words."""
        return self._placeholders.restored(text, clean)

    @property
    def placeholders(self) -> dict[str, str]:
        """Each placeholder with the value as it was first written; a desk's person as the desk names them."""
        return dict(self._placeholders.values)


def without_personal(text: str, people: Iterable[Person] = (), *, network: bool = False) -> str:
    """Return the text with the kind in place of each value, so that the same text is always the same."""
    told = folded(text)
    out, at = [], 0
    for find in _Finder(people, network=network).finds(told.text):
        if find.kind != "TEXT":
            out += [told.original(at, find.begin), f"[{find.kind}]"]
            at = find.end
    return "".join([*out, told.original(at, len(told.text))])


class _Finder:
    """Finds all that is to be masked."""

    def __init__(self, people: Iterable[Person], *, network: bool) -> None:
        self.names = DeskNames(people)
        self._network = network

    def finds(self, text: str) -> list[Located]:
        read = reading(text)
        found = list(self._all(read))
        like = list(alike(read, found))
        sure = [each for each in like if text[each.begin].isupper()]
        return settled([*rows(read, found), *sure, *found, *again(found, text), *like], text)

    def _all(self, read: ReadText) -> Iterator[Located]:
        yield from secrets(read)
        yield from mails(read.text)
        words = list(labels(read))
        yield from command_secrets(read)
        yield from secrets_of_tables(read)
        yield from assigned_secrets(read, words)
        yield from accounts(read)
        yield from cards(read)
        yield from asked_secrets(read, words)
        yield from ids(read)
        yield from told_secrets(read, words)
        if self._network:
            yield from hosts(read)
        yield from self.names.values(read)
        yield from phones(read)
        if self._network:
            yield from addresses(read)
        yield from near_secrets(read, words)
        for each in looked(read.text) if read.has_digit or "SECRET" in read.text else ():
            yield Located(each.begin, each.end, "TEXT")
        yield from persons(read, self.names)
