"""Issuers' tokens, labelled passwords, commands, settings, user/password pairs."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

from privacy.redaction.lexicon import first_names, is_known, products, terms, words
from privacy.redaction.network import is_host
from privacy.redaction.people import spelled, spelled_words
from privacy.redaction.recognizers import Detection, patterns, recognize, table
from privacy.redaction.text import ReadText

_ISSUED, _COMMANDS = table("issued"), table("commands")
_LABEL, _HEAD, _NO_HEAD = patterns("secrets", "label head no_head")
# The signs between a label and its secret, surest first; each pattern ends with the secret.
_FORMS = _STRONG, _AFTER_VERB, _QUOTE, _ADJACENT, _, _AFTER_QUESTION = patterns(
    "secrets", "strong after_verb quote adjacent after_verb_far after_question"
)
_AND, _PAIR, _PAIR_SIGN, _QUESTION = patterns("secrets", "and pair pair_sign question")
# Mixes that are dates, paths or sizes; mixes that are no password by their form alone; words before a hash.
_PLAIN_MIX, _OTHERS, _OF_HASH = patterns("secrets", "plain_mix others of_hash")
_CODE_WORD, _CODE_NUMBER, _CODE_VALUE, _NO_CODE = patterns("secrets", "code_word code_number code_value no_code")
_NO_CODE_WORD, _CODE_BEFORE, _YEAR, _NO_SINGLE = patterns("secrets", "no_code_word code_before year no_single")
_PIN, _SHORT_LABEL, _ADJECTIVE, _JOINED = patterns("secrets", "pin short_label adjective joined")
_PHRASE, _TOKEN, _RANDOM, _SURE = patterns("secrets", "phrase token random sure")
_SHAPED, _CODED, _NO_SHAPE, _OF_ITEM, _HOST, _OF_KEY = patterns("secrets", "shaped coded no_shape of_item host of_key")
_OF_PHRASE, _OF_USER, _OF_BOTH, _OF_PHONE = patterns("secrets", "of_phrase of_user of_both of_phone")
_OF_PAIR, _WAS, _TECHNICAL, _ON_HOST = patterns("secrets", "of_pair was technical on_host")
_GROUPS = ("q1", "q2", "q3", "q4", "q5", "group", "value")
_NO_VALUE = ("[", "<", "$", "{", "%(", "*", "/", "~", "•", "http://", "https://")
_ANYWHERE, _REACH, _REACH_OF_CODES, _REACH_OF_DIGITS = 10**9, 400, 120, 90  # distances in characters to an access word
_SIGNS = frozenset("!#$%&*+?^~{}")


def _beginning(label: str) -> Callable[[str], bool]:
    firsts, ends, starts = terms(f"{label}_firsts"), tuple(terms(f"{label}_ends")), tuple(terms(f"{label}_starts"))
    return cache(lambda word: word in firsts or word.endswith(ends) or word.startswith(starts))


_BEGINS_SECRET, _BEGINS_CODE, _BEGINS_CUE, _BEGINS_QUESTION = map(_beginning, ("secret", "code", "cue", "question"))


def secrets(read: ReadText) -> Iterator[Detection]:
    yield from (Detection(begin, end, "SECRET") for begin, end in _spans(read) if begin < end)


def _spans(read: ReadText) -> Iterator[tuple[int, int]]:
    for find in (*recognize(_ISSUED, read), *recognize(_COMMANDS, read)):
        # A variable is no secret; a hash ($6$...) begins with the same sign, but a digit follows.
        if not read.text.startswith(("$", "%", "{", "<"), find.begin) or read.text[find.begin + 1].isdigit():
            yield find[:2]
    yield from (*_of_cells(read), *_answers(read))
    at = 0
    for start in read.starts(filter(_BEGINS_SECRET, read.places)):
        found = _LABEL.match(read.text, start) if start >= at else None
        # If labels follow each other, the last one has the value.
        if found and not (read.text.startswith(" ", found.end()) and _LABEL.match(read.text, found.end() + 1)):
            spans = _labelled(read, found)
            yield from spans
            at = max([found.end(), *(end for _, end in spans)])
    yield from _pairs(read)


def _labelled(read: ReadText, label: re.Match[str]) -> list[tuple[int, int]]:
    """Return secrets behind a label: behind a sign or verb, in quotes, or beside it."""
    is_of_thing = _is_of_things(label["digits"] or "", read.low[max(0, label.start() - 14) : label.start()])
    for form in _FORMS if "\n" in read.text[label.end() : label.end() + 45] else _FORMS[:-1]:
        if not (found := form.match(read.text, label.end())):
            continue
        name = next(name for name in _GROUPS if found[name])
        begin, end = found.span(name)
        if name == "group":
            if label["digits"] and not is_of_thing:
                return [(begin, end)]
            if sum(map(str.isdigit, found[name])) > 8:
                continue
            end = begin + len(found[name].split(" ")[0])
        elif name != "value":
            if form is _QUOTE and found["gap"] and " " in found[name]:
                continue
            is_code = (bool(_CODE_VALUE.fullmatch(found[name])) or _is_mixed(found[name])) and not is_of_thing
            is_plain = _is_word_of_sentence(found[name]) or _is_name(found[name])
            is_any = bool(label["any"]) and not (is_plain or found[name].startswith(_NO_VALUE))
            if is_code or is_any:
                return [(begin, end)]
            continue
        if read.text[end - 1] == ":" or _OF_PHONE.match(read.text, end):
            continue
        end = _trimmed(read.text, begin, end, is_setting="=" in read.text[label.end() : begin])
        is_sure = form in {_STRONG, _AFTER_QUESTION} or read.text[begin - 1] == "("
        spoken = form is _AFTER_VERB and _PHRASE.match(read.text, end)
        is_phrase = (
            is_sure
            or (spoken and spoken[0][-1].isdigit() and spoken[0].count(" ") < 5)
            or _OF_PHRASE.search(read.low, max(0, label.start() - 7), label.end() + 9)
        )
        if is_phrase and label["any"] and (phrase := _phrase_end(read, begin, end, found["gap"])):
            return [(begin, phrase)]
        is_old = (found["gap"] or "").count(" ") < 4 and _WAS.search(read.text, begin - 7, begin)
        if not is_of_thing and _is_secret(read.text[begin:end], label, form, "" if is_old else found["gap"]):
            further = list(_further(read, end))
            is_user = further and _OF_BOTH.search(read.low, max(0, label.start() - 12), label.end())
            return further if is_user else [(begin, end), *further]
    return []


def _phrase_end(read: ReadText, begin: int, end: int, gap: str) -> int | None:
    if not (phrase := _PHRASE.match(read.text, end)):
        return None
    parts = read.text[begin : phrase.end()].split()
    plain = sum(map(_is_word_of_sentence, parts))
    is_sentence = plain * 2 >= len(parts) + 2 * (len(parts) > 3) or _is_name(parts[0])
    is_sentence = is_sentence or (_is_word_of_sentence(parts[0]) and len(parts) < 4)
    is_aside = read.text[begin - 1] in "(=" and not any(map(str.isdigit, phrase[0]))
    return None if is_sentence or is_aside or (gap and len(parts) < 3) else phrase.end()


@lru_cache(2_000)
def _is_of_things(label: str, before: str) -> bool:
    things, parts = terms("no_codes"), spelled_words(label)
    is_compound = any(parts[-1].startswith(thing) and parts[-1] != thing for thing in things) if parts else False
    return bool(parts) and (is_compound or not things.isdisjoint([*parts[:-1], *before.split()[-1:]]))


def _trimmed(text: str, begin: int, end: int, *, is_setting: bool = False) -> int:
    value = text[begin:end]
    if is_setting and (next_one := re.search(r"[;&](?=[A-Za-z][\w ]{1,30}=)|[,;&]$", value)):
        return begin + next_one.start()
    value = (value if "(" in value[1:] else value.rstrip(".,;:)]}")).rstrip(".,;:'\"”“»")
    for mark in ("/"[is_setting:], ",", ";"):
        head, _, rest = value.partition(mark or ",")
        value = head if not rest.isdigit() and rest and len(head) > 5 and is_composed(head) else value
    return begin + len(value)


def _further(read: ReadText, end: int) -> Iterator[tuple[int, int]]:
    end_before = end
    while found := _AND.match(read.text, end):
        begin, end = found.start("value"), _trimmed(read.text, *found.span("value"))
        is_code = read.text[end_before - 1].isdigit() and read.text[begin:end].isdigit() and end - begin > 3
        if not is_code and not _is_mixed(read.text[begin:end]):
            return
        yield begin, end


def _is_word_of_sentence(value: str) -> bool:
    small = value.lower().strip(".!?*'-,:;()")
    return not small or small in terms("no_secret")


def _is_name(value: str) -> bool:
    parts = spelled_words(value)
    return value.istitle() and bool(parts) and parts[0] in first_names()


def _is_secret(value: str, label: re.Match[str], form: re.Pattern[str], gap: str) -> bool:
    if len(value) < 3 or _is_word_of_sentence(value) or value.startswith(_NO_VALUE):
        return False
    if label["digits"]:
        is_short = form is not _STRONG and len(value) < 4 and label["digits"][:2].lower() not in {"cv", "cr"}
        return (bool(_CODE_VALUE.fullmatch(value.rstrip("?!"))) and not is_short) or _reach_of(value) > 0
    if label["weak"]:
        is_key = bool(_OF_KEY.fullmatch(value)) or _reach_of(value) > 0
        return len(value) > 7 and (is_key or (form is _AFTER_VERB and _is_unknown_word(value)))
    is_pair = form is _ADJACENT and _OF_PAIR.search(label.string, max(0, label.start() - 60), label.start())
    if form is _AFTER_QUESTION or is_pair:
        return not _is_name(value)
    parts = spelled_words(value)
    if form is _STRONG and not gap:
        return not (value.istitle() and value.isalpha() and parts[0] in products()[0])
    is_lower = value.islower() and value.replace("-", "").isalpha() and len(value) > 4
    if form is _AFTER_VERB and is_lower and not gap and not _ADJECTIVE.search(value):
        return True
    is_unknown = form in {_AFTER_VERB, _STRONG} or (form is _ADJACENT and is_lower and _SHORT_LABEL.match(label[0]))
    is_unknown = is_unknown and _is_unknown_word(value) and not _OF_USER.search(gap + " ")
    is_number = re.fullmatch(r"\d+|\d{3,8}(?:-\d{3,8})+", value)
    return _is_mixed(value) or is_unknown or bool(is_number and len(value) > 3 and (form is not _ADJACENT or not gap))


def _is_unknown_word(value: str) -> bool:
    is_known_word = all(map(is_known, parts := spelled_words(value))) and len(parts) < 3
    return bool(_JOINED.fullmatch(value)) and len(value) > 4 and not is_known_word


def _is_mixed(value: str) -> bool:
    """Return True for letters with digits or signs: no date, version, path or size."""
    if len(value) < 5 or sum(map(str.isalpha, value)) < 2 or value.rstrip("!?*").isalpha():
        return False
    named = re.fullmatch(r"([^\W\d_]+)[-_ ]?\d{1,4}", value)
    if _PLAIN_MIX.fullmatch(value) or (named and (named[1].lower() in terms("versioned") or len(named[1]) < 3)):
        return False
    has_sign = any(sign in "!#$%&*+=?^~" for sign in value[1:-1])
    return any(map(str.isdigit, value)) or (has_sign and not all(part in words() for part in spelled_words(value)))


def _is_password_like(value: str) -> bool:
    core = value.rstrip("!?*")
    is_other = _OTHERS.fullmatch(value) or (_OTHERS.fullmatch(core) and (value == core or len(value) < 12))
    return _is_mixed(value) and value.count(":") < 2 and not is_other


def is_composed(value: str) -> bool:
    """Return True for letters, digits and signs in a mix rare outside of passwords."""
    is_signed = not _SIGNS.isdisjoint(value) or ("@" in value and value.lower() != value)
    return len(value) >= 8 and any(map(str.isdigit, value)) and is_signed and _is_password_like(value)


def codes(read: ReadText) -> Iterator[Detection]:
    """Find digits in the line of a code word, on either side: "4711 is my code"."""
    end, digit = 0, re.compile(r"\d")
    for start in read.starts(filter(_BEGINS_CODE, read.places)):
        word = _CODE_WORD.match(read.text, start) if digit.search(read.text, max(0, start - 60), start + 300) else None
        if not word or _NO_CODE_WORD.search(read.low, max(0, start - 20), start) or _is_product_of_code(word[0]):
            continue
        reach = _REACH_OF_DIGITS * (1 + word[0].endswith("s"))
        no_number = None if _PIN.search(word[0]) else _YEAR if reach > _REACH_OF_DIGITS else _NO_SINGLE
        for found in _CODE_NUMBER.finditer(read.text, max(word.end(), end), word.end() + reach):
            end = end if no_number and no_number.fullmatch(found[0]) else found.end()
            is_cut = end != found.end() or read.text[end : end + 1].isalnum()
            if not is_cut and not _NO_CODE.search(read.low, max(0, found.start() - 30), found.start()):
                yield Detection(*found.span(), "SECRET")
        if before := _CODE_BEFORE.search(read.text, max(0, start - 60), start):
            yield Detection(*before.span("value"), "SECRET")


def _is_product_of_code(word: str) -> bool:
    """Return True for a product with a code word as its end: "AudioCodes"."""
    return not (word.isupper() or word[1:].islower()) and word[0].isupper() and spelled(word) in products()[0]


def shaped(read: ReadText) -> Iterator[Detection]:
    """Find tokens like passwords or codes near access words: "tried mersey-9-fox"."""
    cues = read.starts(filter(_BEGINS_CUE, read.places))
    for found in _TOKEN.finditer(read.text):
        begin, end = found.start(), found.start() + len(found[0].rstrip(".,:;'?"))
        value, place = read.text[begin:end], bisect_left(cues, begin)
        if (reach := _reach_of(value)) < 0:
            continue
        # A word in the value itself is no evidence: "token-429".
        near = (*cues[max(0, place - 1) : place], *cues[(after := bisect_left(cues, end)) : after + 1])
        gap = min([abs(begin - cue) for cue in near], default=_ANYWHERE)
        is_name = _HOST.fullmatch(value) and is_host(read, value, begin)
        is_item = (_OF_HASH if _SHAPED.fullmatch(value) else _OF_ITEM).search(read.low, max(0, begin - 30), begin)
        is_far = gap > reach or _OF_USER.search(read.low, max(0, begin - 16), begin)
        if not (is_far or is_name or is_item or _is_technical(read, value, begin)):
            yield Detection(begin, end, "SECRET")


def _is_technical(read: ReadText, value: str, begin: int) -> bool:
    """Return True for the form of a host or model: "esb-prod-2", "x@gpu-node-17", "M428fdw", "nginx on hopper01"."""
    found = _TECHNICAL.fullmatch(value.rpartition("@")[2])
    is_host = found and (not found["short"] or found["short"] not in words())
    return bool(is_host or (value.islower() and _ON_HOST.search(read.low, max(0, begin - 24), begin)))


@lru_cache(20_000)
def _reach_of(value: str) -> int:
    """Return the reach (characters) of an access word for this value; -1 if none."""
    if _RANDOM.fullmatch(value):
        return _ANYWHERE
    if len(value) < 5 or _NO_SHAPE.fullmatch(value) or _PLAIN_MIX.fullmatch(value):
        return -1
    parts = spelled_words(value)
    is_list = "/" in value and all(map(is_known, parts))
    if (
        is_list
        or value.lower() in terms("versioned")
        or (len(parts) == 1 and parts[0] in terms("versioned") and value[-1:].isalnum())
    ):
        return -1
    if _SURE.fullmatch(value) or (is_composed(value) and value.lower() != value != value.upper()):
        return _ANYWHERE
    return _REACH if _SHAPED.fullmatch(value) else _REACH_OF_CODES if _CODED.fullmatch(value) else -1


def _pairs(read: ReadText) -> Iterator[tuple[int, int]]:
    for start in read.starts(terms("user_firsts")):
        found = _PAIR.match(read.text, start) if _PAIR_SIGN.search(read.text, start, start + 100) else None
        if found:
            begin, value = found.start("value"), found["value"].rstrip(".,:;)")
            is_shared = (found["user"] or found["role"]).lower() in terms("roles_accounts")
            is_any = value.isalnum() if is_shared else _is_mixed(value) and value.lower() != value
            if ("/" in found["sign"] and is_any) or _is_password_like(value) or (is_shared and _is_unknown_word(value)):
                yield begin, begin + len(value)


def _answers(read: ReadText) -> Iterator[tuple[int, int]]:
    for found in read.after(filter(_BEGINS_QUESTION, read.places), _QUESTION):
        begin, value = found.start("value"), found["value"].rstrip()
        parts = value.split()
        if "?" not in value[:-1] and parts and not _is_word_of_sentence(parts[0]) and len(parts) < 5:
            yield begin, begin + len(value)


def _of_cells(read: ReadText) -> Iterator[tuple[int, int]]:
    for cell in read.column(_HEAD):
        if not _NO_HEAD.fullmatch(cell.head):
            value = read.text[cell.begin : cell.end]
            if len(value) > 2 and not _is_word_of_sentence(value) and value.strip("-*•x"):
                yield cell.begin, cell.end
