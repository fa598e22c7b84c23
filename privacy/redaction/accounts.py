"""Bank accounts and payment cards, by checksums, form, and words before them."""

import re
from collections.abc import Iterator

from stdnum import luhn

from privacy.redaction.lexicon import terms
from privacy.redaction.recognizers import Detection, fragment, pattern, patterns, recognize, table
from privacy.redaction.text import ReadText

# Searched from its first digits, which are rarer than letters; the rest is a lookahead, since matches may overlap.
_IBAN = re.compile(r"\d(?<=[A-Za-z]{2}\d)(?<![^\W_][A-Za-z]{2}\d)\d(?=((?:[ -]?[A-Za-z0-9]){11,30})(?![^\W_]))")
# How long an IBAN of a country is (registry of SWIFT), which is how one in a sentence ends where it does.
_LENGTH_OF = {each[:2]: int(each[2:]) for each in fragment("accounts.lengths").split()}
_LABELLED, _OF_BANKS = pattern("accounts.labelled"), pattern("accounts.of_banks")
_LABELS, _NEAR = terms("bank_labels"), 80
_BIC, _OF_BIC, _BESIDE = patterns("accounts", "bic of_bic beside")
_FORMS = table("accounts")
# The issuers by their first digits, with the number of digits (ISO/IEC 7812); the digits on a card's back.
_CARD, _ISSUED, _BACK, _OF_CARDS = patterns("accounts", "card issued back of_cards")


def accounts(read: ReadText) -> Iterator[Detection]:
    if "0" not in read.shape and read.text.isascii():
        return
    countries = set()
    for found in _IBAN.finditer(read.text):
        begin = found.start() - 2
        length = _LENGTH_OF.get(read.text[begin : begin + 2].upper())
        end = _end_of(read.text[begin : found.end(1)], length) if length else None
        # Letters of both cases are those of a token.
        if end and (read.text[begin:][:end].isupper() or read.text[begin:][:end].islower()):
            countries.add(read.text[begin : begin + 2].upper())
            yield Detection(begin, begin + end, "BANK")
    for found in _BIC.finditer(read.text) if countries or "bic" in read.low or "swift" in read.low else ():
        if found[1] in countries or _OF_BIC.search(read.low, max(0, found.start() - 24), found.start()):
            yield Detection(*found.span(), "BANK")
    yield from recognize(_FORMS, read)
    for found in read.after(_LABELS, _LABELLED):
        name = str(found.lastgroup)
        around = read.low[max(0, found.start() - _NEAR) : found.end() + _NEAR // 2]
        if name != "account" or sum(map(str.isdigit, found[name])) > 8 or _OF_BANKS.search(around):
            yield Detection(*found.span(name), "BANK")
            if name == "sort" and (beside := _BESIDE.match(read.text, found.end())):
                yield Detection(*beside.span(1), "BANK")


def cards(read: ReadText) -> Iterator[Detection]:
    """Find card numbers by issuer, with check digits, groups or words before them."""
    for found in _CARD.finditer(read.text):
        digits = re.sub(r"\D", "", found[0])
        is_grouped = bool(found[1] or found[2]) and len(digits) >= 15
        is_sure = is_grouped or (luhn.is_valid(digits) and len(digits) in {15, 16})
        is_told = _OF_CARDS.search(read.low, max(0, found.start() - 60), found.start())
        if (_ISSUED.fullmatch(digits) and (is_sure or is_told)) or (is_grouped and is_told and found[0][4] == " "):
            yield Detection(*found.span(), "CARD")
            if back := _BACK.match(read.text, found.end()):
                yield Detection(*back.span(1), "SECRET")


def _end_of(written: str, length: int) -> int | None:
    count = 0
    for place, each in enumerate(written):
        count += each.isalnum()
        if count == length:
            return None if written[place + 1 : place + 2].isalnum() else place + 1
    return None
