"""Redaction of one model conversation, and restoration of its answer."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from privacy.redaction.accounts import accounts, cards
from privacy.redaction.desk import DeskPeople
from privacy.redaction.ids import alike, beside_names, birth_dates, far_ids, ids
from privacy.redaction.logins import derived, logins
from privacy.redaction.names import persons
from privacy.redaction.network import addresses, hosts
from privacy.redaction.people import Person
from privacy.redaction.phones import phones
from privacy.redaction.placeholders import Identities, Placeholders, key_of, looked
from privacy.redaction.recognizers import Detection, patterns, recognize, settled, table
from privacy.redaction.repeats import Repeats
from privacy.redaction.secrets import codes, is_composed, secrets, shaped
from privacy.redaction.text import Folded, folded, reading

_MAILS = table("mails")
# Beyond so many values, each spelling of a telephone number counts as another number: comparing them is slow.
_MAX_COMPARED = 500
_BEFORE, _BEHIND, _SHORTENED, _FILE = patterns("logins", "before behind shortened file")
_MAX_NAMES_WITH_LOGINS = 50


class Redaction:
    """Texts of one model conversation; a value has the same placeholder in all.

    `people` belong to the ticket, `others` to other texts; parts of their names count only there. `network` hides
    postal addresses, IP and MAC addresses and host names too. `known` are the `placeholders` of an earlier
    conversation. `terms` are the desk's names of categories, groups and assets.
    """

    def __init__(
        self,
        people: Sequence[Person] = (),
        *,
        others: Sequence[Person] = (),
        network: bool = False,
        known: Mapping[str, str] | None = None,
        terms: Iterable[str] = (),
    ) -> None:
        self._own = Finder(people, network=network, terms=terms)
        self._finder = Finder([*people, *others], network=network, terms=terms) if others else self._own
        self._placeholders = Placeholders(known or {})
        self._identities = Identities()
        self._finds: dict[tuple[str, bool], list[Detection]] = {}
        self._repeats = Repeats()
        self._of_others = set(self._finder.desk.keys).difference(self._own.desk.keys)
        for key in self._finder.desk.keys:
            self._identities.add(key, is_settled=True)
        for placeholder, value in (known or {}).items():
            if placeholder.startswith("[PERSON_"):
                self._identities.add(key_of("PERSON", value))

    def read(self, text: str, *, own: bool = True) -> str:
        """Find the values of a text, and return it unchanged. `redact` hides them in other texts too.

        All texts of a conversation are read before the first is redacted.
        """
        self._read(folded(text), own=own)
        return text

    def _read(self, whole: Folded, *, own: bool) -> list[Detection]:
        if (finds := self._finds.get((whole.text, own))) is None:
            finds = self._finds[whole.text, own] = (self._own if own else self._finder).finds(whole.text)
            self._repeats.add(whole.text, finds)
        return finds

    def redact(self, text: str, *, own: bool = True) -> str:
        """Return the text with placeholders.

        `own=False` is a text of another ticket or a document: its secrets become "[SECRET]", and are never restored.
        """
        whole = folded(text)
        finds = settled([*self._read(whole, own=own), *self._repeats.finds(whole.text)], whole.text)
        return _replaced(whole, ((find, self._placeholder(find, whole, own=own)) for find in finds))

    def _placeholder(self, find: Detection, whole: Folded, *, own: bool) -> str:
        if find.kind == "SECRET" and not own:
            return "[SECRET]"
        written = find.value or whole.text[find.begin : find.end]
        is_compared_slowly = find.kind == "PHONE" and len(self._placeholders.values) > _MAX_COMPARED
        key = written if is_compared_slowly else key_of(find.kind, written)
        if find.kind == "PERSON":
            key, part = self._identities.of(key), key
            if own and key in self._of_others and key != part:
                # A person of another ticket may have that name as well: a separate key restores it as written here.
                key = f"{part} of this ticket"
        return self._placeholders.of(find.kind, key, find.value or whole.original(find.begin, find.end))

    def restore(self, text: str, clean: Callable[[str], str] = str) -> str:
        """Restore values as `clean` returns them; put invented placeholders in words."""
        return self._placeholders.restored(text, clean)

    @property
    def placeholders(self) -> dict[str, str]:
        """Placeholders with values as first written; people of the desk as it names them."""
        return dict(self._placeholders.values)


def without_personal(text: str, people: Iterable[Person] = (), *, network: bool = False) -> str:
    """Return the text with kinds instead of values: the same for the same text."""
    whole = folded(text)
    finds = Finder(people, network=network).finds(whole.text)
    return _replaced(whole, ((find, f"[{find.kind}]") for find in finds if find.kind != "TEXT"))


def _replaced(whole: Folded, finds: Iterable[tuple[Detection, str]]) -> str:
    out, at = [], 0
    for find, placeholder in finds:
        out += [whole.original(at, find.begin), placeholder]
        at = find.end
    return "".join([*out, whole.original(at, len(whole.text))])


class Finder:
    """Finds all values in texts about the same people."""

    def __init__(self, people: Iterable[Person], *, network: bool, terms: Iterable[str] = ()) -> None:
        self.desk = DeskPeople(people)
        self._terms = frozenset(term.lower() for term in terms)
        self._network = network

    def finds(self, text: str) -> list[Detection]:
        """Return the values of a folded text; of overlapping ones the first found wins."""
        read = reading(text)
        found = [Detection(each.begin, each.end, "TEXT") for each in looked(text)]
        further = list(shaped(read))
        found += [*accounts(read), *cards(read), *secrets(read), *recognize(_MAILS, read)]
        found += [each for each in further if is_composed(text[each.begin : each.end])]
        found += [*birth_dates(read), *ids(read)]
        if self._network:
            found += hosts(read)
        values = list(self.desk.values(read))
        known = {(each.begin, each.end) for each in values}
        found = [*(each for each in found if (each.begin, each.end) not in known), *values]
        found += [*_repeated(found, text), *codes(read), *phones(read)]
        if self._network:
            found += addresses(read)
        found += logins(read, [each.begin for each in (*found, *further) if each.kind == "SECRET"])
        names = list(persons(read, self.desk, found, self._terms))
        found += derived(read, [text[each.begin : each.end] for each in names[:_MAX_NAMES_WITH_LOGINS]])
        found += [*further, *far_ids(read), *names]
        found = settled([*beside_names(read, names), *found, *_repeated(found, text), *alike(read, found)], text)
        joined = list(_joined(found, text))
        return settled([*joined, *found], text) if joined else found


def _joined(finds: Iterable[Detection], text: str) -> Iterator[Detection]:
    """Extend names to the login around them: "zoe.kettler", "ghaas-adm", "Anne-So"."""
    for find in finds:
        if find.kind not in {"PERSON", "LOGIN"} or " " in text[find.begin : find.end]:
            continue
        before, behind = _BEFORE.search(text, max(0, find.begin - 24), find.begin), _BEHIND.match(text, find.end)
        begin, end = before.start() if before else find.begin, behind.end() if behind else find.end
        is_one = text[begin:end].islower() or (find.kind == "LOGIN" and text[begin:end].isupper())
        if end - begin > find.end - find.begin and is_one and not _FILE.search(text, begin, end):
            yield Detection(begin, end, "LOGIN")
        elif short := _SHORTENED.match(text, find.end):
            yield find._replace(end=short.end())


def _repeated(finds: Iterable[Detection], text: str) -> Iterator[Detection]:
    repeats = Repeats()
    repeats.add(text, finds)
    return repeats.finds(text)
