"""Bank accounts and payment cards: by their checksums, by their form, and by the words before them."""

import re
from collections.abc import Iterator

from masking.checksums import is_luhn
from masking.found import Located
from masking.lists import listed
from masking.reading import ReadText

# Looked at from its first digits, of which there are fewer than letters; no more than these is taken up, since what
# begins like one may stand right before one.
_IBAN = re.compile(r"\d(?<=[A-Za-z]{2}\d)(?<![^\W_][A-Za-z]{2}\d)\d(?=((?:[ -]?[A-Za-z0-9]){11,30})(?![^\W_]))")
# A British sort code and the account.
_SORTED = re.compile(r"\d(?<![\w-]\d)\d-\d\d-\d\d(?: {1,2}| ?[/,] ?)(\d{8})(?!\w)")
# Registry of SWIFT: how long an IBAN of a country is, which is how one in a sentence ends where it does.
_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18"
    " FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20"
    " LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19"
    " SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
_LENGTH_OF = {each[:2]: int(each[2:]) for each in _LENGTHS.split()}
_SAID = r"[\s:.#=(>]{1,4}(?:(?:no|number|nr|code|is|was|lautet|ist|war)\b[\s:.#=]{1,4}){0,2}"
_LABELLED = re.compile(
    rf"""(?ix)(?:
        (?:bic|swift)(?:[\s/-]{{0,3}}(?:bic|swift))?(?:[\s-]?code)?{_SAID}
            (?P<bic>(?-i:[A-Z]{{4,6}}[A-Z0-9]{{2,7}}))
      | (?:sort(?:[\s-]?codes?)?|routing(?:[\s-]?transit)?(?:[\s-]?(?:number|no\.?|nr\.?))?|aba|rtn|blz|bankleitzahl
            |ifsc(?:[\s-]?code)?|bsb|direct\s?dep(?:osit)?|transit|institution|clearing(?:nummer|-nr)?){_SAID}
            (?P<sort>(?-i:[A-Z]{{4}}0[A-Z0-9]{{6}})|\d{{3}}[- ]\d{{3}}(?![ -]?\d)
            |\d{{2,3}}[- ]?\d{{2,3}}[- ]?\d{{2,4}}(?:[ -]?\d{{1,3}})?)
      | iban\W{{1,4}}(?:(?:is|lautet|ist|war|was)\s)?(?P<iban>(?-i:[A-Z]{{2}}\d{{2}}(?:[ -]?[A-Z0-9]){{8,30}}))
      | (?:bank\s?account|bankkonto|konto(?:nummer|nr)?|kto|account|acct|acc|a/c|compte)
            (?:[\s.-]{{0,2}}(?:no|nr|number|nummer|num|\#))?{_SAID}(?P<account>\d(?:[ -]?\d){{5,16}})
    )(?![^\W_])"""
)
_LABELS = listed("accounts labels")
_OF_BANKS = re.compile(
    r"\b(?:sort|routing|rtn|blz|bankleitzahl|bank\w*|bic|swift|aba|ifsc|bsb|iban|direct deposit|kto)\b"
)
_NEAR = 80
# A bank's code by its form alone: it names the country that an IBAN of the same text has.
_BIC = re.compile(r"[A-Z](?<!\w.)[A-Z]{3}([A-Z]{2})[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?!\w)")
# The account beside the code of its bank.
_BESIDE = re.compile(r"(?: ?[/,;|] ?|\s{1,3})(\d(?:[ -]?\d){5,16})(?![\w]|[.,-]\d)")
_CARD = re.compile(
    r"\d(?<![\w,.]\d)(?:\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{3}([ -])\d{6}\2\d{4,5}|\d{12,18})(?![\w]|[.,-]\d)"
)
# Issuers by their first digits, with how many digits a number has: Visa, Mastercard, Amex, Diners, Discover, JCB,
# UnionPay, Maestro (ISO/IEC 7812, as their own sites tell).
_ISSUED = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11,13}|6(?:011|5\d\d|4[4-9]\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|62\d{14,17}"
    r"|(?:50[1-9]|56|57|58|6[0379])\d{10,17}"
)
# The digits on a card's back, behind its number.
_BACK = re.compile(
    r"(?i)[^\n]{0,60}?(?:(?<![^\W_])(?:code|digits|ziffern|zahlen|hinten|rückseite|back|cv[cvn]2?|security"
    r"|prüf[\wäöü]{0,12})[\s.:#=-]{1,3}(?:(?:is|was|ist|war)\s)?|\d\d ?/ ?\d\d[ ,;]{1,3})"
    r"(\d{3,4})(?![\w/-]|[.,:]\d| \d)"
)
_OF_CARDS = re.compile(
    r"card|karte|visa\b|mastercard|amex|american express|maestro|discover|\bcc\b|carte|tarjeta|\bpan\b|\bpci\b"
)


def accounts(read: ReadText) -> Iterator[Located]:
    """Find IBANs, and what is said to be an account, a bank's code or a BIC."""
    if not read.has_digit:
        return
    countries = set()
    for found in _IBAN.finditer(read.text):
        begin = found.start() - 2
        length = _LENGTH_OF.get(read.text[begin : begin + 2].upper())
        if length and (end := _end_of(read.text[begin : found.end(1)], length)):
            countries.add(read.text[begin : begin + 2].upper())
            yield _account("BANK", begin, begin + end)
    for found in _BIC.finditer(read.text) if countries else ():
        if found[1] in countries:
            yield Located(*found.span(), "BANK")
    for found in _SORTED.finditer(read.text):
        yield Located(found.start(), found.start() + 8, "BANK")
        yield Located(*found.span(1), "BANK")
    for found in read.after(_LABELS, _LABELLED):
        name = str(found.lastgroup)
        around = read.low[max(0, found.start() - _NEAR) : found.end() + _NEAR // 2]
        if name != "account" or _OF_BANKS.search(around):
            yield _account("BANK", *found.span(name))
            if name == "sort" and (beside := _BESIDE.match(read.text, found.end())):
                yield _account("BANK", *beside.span(1))


def cards(read: ReadText) -> Iterator[Located]:
    """Find numbers that an issuer of cards gives, with their checksum or with words about cards before them."""
    for found in _CARD.finditer(read.text):
        digits = re.sub(r"\D", "", found[0])
        is_grouped = bool(found[1] or found[2])
        if not _ISSUED.fullmatch(digits):
            continue
        is_sure = is_luhn(digits) and len(digits) in {15, 16}
        if (
            is_sure
            or (is_grouped and len(digits) >= 15)
            or _OF_CARDS.search(read.low, max(0, found.start() - 60), found.start())
        ):
            yield _account("CARD", *found.span())
            if back := _BACK.match(read.text, found.end()):
                yield _account("SECRET", *back.span(1))


def _end_of(written: str, length: int) -> int | None:
    """Return where so many letters and digits end; None if there are fewer, or they go on in the same word."""
    count = 0
    for place, each in enumerate(written):
        count += each.isalnum()
        if count == length:
            return None if written[place + 1 : place + 2].isalnum() else place + 1
    return None


def _account(kind: str, begin: int, end: int) -> Located:
    return Located(begin, end, kind)
