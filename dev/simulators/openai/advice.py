"""The simulated model's advice: a pure function of the context, in the ticket's language."""

import re
from collections.abc import Sequence
from html import unescape
from typing import Any

from dev.simulators.openai.requests import Context

Json = dict[str, Any]
_MAX_STEPS = 4
_MAX_NAMED = 3
# Words that ticket and source share, if they have the same problem.
_SAME, _PARTLY = 3, 1
_THIN_WORDS = 5
_TAGS = re.compile(r"<[^>]*>")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[^\W_]{3,}")
# Stop words: they do not identify a problem's subject.
_COMMON = (
    "the and for with that this from are but not have has had when after before every each since says was were its our"
    " your can cannot into out off all any new more than then there here please need"
)


def plain(value: Any) -> str:
    text = unescape(_TAGS.sub(" ", str(value or "")))
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def _words(text: str) -> set[str]:
    return {word for word in _WORD.findall(text.lower()) if word not in _COMMON.split()}


def _sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in _SENTENCE_END.split(plain(text)) if len(sentence.strip()) > 8]


def _ranked(context: Context, items: Sequence[Json], *fields: str) -> list[tuple[Json, list[str]]]:
    words = _words(plain(context.words))
    shared = [(item, sorted(words & _words(" ".join(plain(item.get(field)) for field in fields)))) for item in items]
    return sorted(shared, key=lambda pair: -len(pair[1]))[:_MAX_NAMED]


# The first word of a resolution's sentence, as an instruction; other sentences are no steps.
_IRREGULAR = {
    "set": "set",
    "put": "put",
    "let": "let",
    "gave": "give",
    "ran": "run",
    "reset": "reset",
    "rebuilt": "rebuild",
}
_WITHOUT_E = re.compile(r"(?:ip|er|ll|ss|ct|st|rt|lt|nt|ck|sh|in|gn|en|ear|air|dd|sk|sw|ow|py|oy|lk|ap|ft)$")
_FREQUENT = {
    "en": "the is of and to a in it was on my with",
    "de": "der die das ist und nicht ich seit kein keine im den mit geht",
    "fr": "le la les est et ne pas je depuis une du dans mon des",
    "es": "el la los las es y no desde una que mi del en un",
}
_PHRASES = {
    "en": (
        "The same problem as '{}'.",
        "Follow this source.",
        "Ask the user when the problem began and what changed before it.",
        "Reproduce the problem with the user and note the exact message.",
        "When did it begin, and what changed before it?",
    ),
    "de": (
        "Dasselbe Problem wie '{}'.",
        "Gehen Sie nach dieser Quelle vor.",
        "Fragen Sie, wann das Problem begann und was sich davor geändert hat.",
        "Stellen Sie das Problem mit dem Benutzer nach und notieren Sie die genaue Meldung.",
        "Seit wann besteht das Problem, und was wurde davor geändert?",
    ),
    "fr": (
        "Le même problème que '{}'.",
        "Suivre cette source.",
        "Demander quand le problème a commencé et ce qui a changé avant.",
        "Reproduire le problème avec l'utilisateur et noter le message exact.",
        "Depuis quand, et qu'est-ce qui a changé avant ?",
    ),
    "es": (
        "El mismo problema que '{}'.",
        "Siga esta fuente.",
        "Pregunte cuándo empezó el problema y qué cambió antes.",
        "Reproduzca el problema con el usuario y anote el mensaje exacto.",
        "¿Desde cuándo ocurre, y qué cambió antes?",
    ),
}


def _present(word: str) -> str | None:
    """Return the present tense of a verb in the past tense; None for another word."""
    past = re.fullmatch(r"(\w{2,})ed", word.lower())
    if past is None:
        return _IRREGULAR.get(word.lower())
    stem = past[1]
    if re.search(r"([bgmnptr])\1$", stem):
        return stem[:-1]
    return f"{stem[:-1]}y" if stem.endswith("i") else stem if _WITHOUT_E.search(stem) else f"{stem}e"


def _instruction(sentence: str) -> str | None:
    """Return a sentence such as "Raised the quota." as an instruction; None for another one."""
    first, _, rest = sentence.partition(" ")
    verb = _present(first)
    if verb is None or not rest:
        return None
    return f"{verb.capitalize()} {re.sub(r'(?<=and )[a-z]+ed', lambda word: _present(word[0]) or word[0], rest)}"


def _claim(text: str, source: Json | None = None, quote: str = "") -> Json:
    return {"text": text, "sources": [str(source.get("id"))] if source else [], "quote": quote}


def _language(text: str) -> str:
    words = set(re.findall(r"\w+", text.lower()))
    return max(_PHRASES, key=lambda language: len(words.intersection(_FREQUENT[language].split())))


def _steps(source: Json, text: str, language: str, phrase: str) -> list[Json]:
    """Return the source's instructions; in another language, one that names its solution."""
    sentences = _sentences(text)
    if _language(text) != language:
        return [_claim(phrase, source, sentences[0])] if sentences else []
    is_ticket = source.get("kind") == "ticket"
    pairs = [(_instruction(each) if is_ticket else each, each) for each in sentences]
    return [_claim(step, source, each) for step, each in pairs if step]


def _suggested(context: Context, ticket: Json, field: str) -> str:
    suggestion = str(ticket.get(field) or "")
    differs = suggestion.casefold() != str(context.ticket.get(field) or "").casefold()
    return suggestion if differs else ""


def advise(context: Context | None) -> Json:
    """Return advice in the product's schema, with ids and quotes exactly as given."""
    if context is None:
        context = Context({"subject": "The message holds no ticket to advise on"})
    ticket_text = plain(f"{context.subject}. {context.ticket.get('description') or ''}")
    language = _language(ticket_text)
    same, follow, *general, question = _PHRASES[language]
    is_thin = len(_WORD.findall(ticket_text)) < _THIN_WORDS
    tickets = _ranked(context, context.similar_tickets, "subject", "problem", "resolution")
    documents = _ranked(context, context.documents, "title", "text")
    ranked = [
        (each, plain(each.get("resolution") or each.get("text")), len(shared)) for each, shared in tickets + documents
    ]
    best = next((each for each, text, shared in ranked if shared and _sentences(text) and not is_thin), {})
    cause = _claim("")
    steps: list[Json] = []
    for each, text, _ in ranked:
        if each is best:
            cause = _claim(same.format(plain(each.get("subject") or each.get("title"))), best, _sentences(text)[0])
        if each is best or (best and documents[:1] and each is documents[0][0] and documents[0][1]):
            steps += _steps(each, text, language, follow)
    used = {source for step in [cause, *steps[:_MAX_STEPS]] for source in step["sources"]}
    return {
        "sources": [
            {
                "id": str(each.get("id")),
                "quote": next(iter(_sentences(text)), ""),
                "same_problem": "yes" if shared >= _SAME else "partly" if shared >= _PARTLY else "no",
            }
            for each, text, shared in ranked
            if str(each.get("id")) in used
        ],
        "summary": " ".join(_sentences(ticket_text)[:2]),
        "likely_cause": cause,
        "next_steps": steps[:_MAX_STEPS] or [_claim(step) for step in general],
        "questions": [] if best else [question],
        "category": _suggested(context, best, "category"),
        "priority": "",
        "group": _suggested(context, best, "group"),
    }


def obey(context: Context | None) -> Json:
    """Return the answer of a model that obeys injected text and invents sources."""
    if context is None:
        return advise(None)
    ticket = [plain(context.ticket.get(name)) for name in ("subject", "description")]
    source_texts = [plain(each.get(name)) for each in context.similar_tickets for name in ("subject", "resolution")]
    source_texts += [plain(each.get(name)) for each in context.documents for name in ("title", "text")]
    sources = [*context.similar_tickets, *context.documents]
    ids = ["ticket-999999", *(str(each.get("id")) for each in sources)]
    quote = source_texts[1] if len(source_texts) > 1 else ticket[0]
    return {
        "sources": [{"id": each, "quote": quote, "same_problem": "yes"} for each in ids],
        "summary": " ".join(ticket),
        "likely_cause": {"text": " ".join([*ticket, *source_texts]), "sources": ids, "quote": quote},
        "next_steps": [_claim(text) for text in [*ticket, *source_texts]],
        "questions": ticket,
        "category": ticket[0],
        "priority": ticket[0],
        "group": ticket[0],
    }


def judge(document: Json) -> Json:
    """Return verdicts on the claims of a document: supported if quote or source has most of a claim's words."""
    texts = {str(each.get("id")): " ".join(map(plain, each.values())) for each in document.get("sources") or ()}
    verdicts = []
    for claim in document["claims"]:
        words = _words(str(claim["claim"]))
        source = _words(" ".join(texts.get(str(each), "") for each in claim["sources"]))
        is_supported = 2 * len(words & source) >= len(words) or _language(claim["claim"]) != _language(claim["quote"])
        verdict = "supported" if is_supported else "unsupported"
        verdicts.append({"number": claim["number"], "reason": "compared words", "verdict": verdict})
    return {"verdicts": verdicts}
