"""How sentences tell a secret: the words that such a form begins with, and the form."""

import re

VALUE = r"[\"'“„«`(]?([^\s\"'“”„«»`⟦⟧,;|()]{3,64})[\"'”“»`)]?"
_WHAT = r"(?:pass|passwor[dt]s?|kennwor?t|pw|pwd|pin|code|key|passphrase|passcode|schlüssel|token|codewort|geheimzahl)"
_STILL = r"(?:\s(?:now|still|currently|jetzt|nun|noch)){0,2}"
_IS = rf"(?:'?s|\s(?:is|was|ist|war|lautet|lautete|heißt)){_STILL}:?"
_IT = r"(?:\s(?:it|them|that|this|mine|hers|his|back)){0,2}"
_SET = r"(?:um|zurück)?(?:ge)?(?:änder[nt]|setz\w{1,2}|stell\w{1,2})(?!\w)"
_LIST = rf"(?:\s?(?:,|und|and|or|oder|/|as well as|sowie)\s(?:also\s|auch\s|then\s|dann\s)?{VALUE})?"
_FILL = (
    r"(?:\s(?:es|it|mal|with|mit|haben|hab|habe|we|wir|ich|sie|both|beide|auch|also|schon|nochmal|again|the|das|den"
    r"|die|my|old|pass|pw)){0,4}"
)


def _forms(*forms: tuple[str, str]) -> tuple[tuple[frozenset[str], re.Pattern[str]], ...]:
    return tuple((frozenset(begins.split()), re.compile(f"(?i){form}")) for begins, form in forms)


# Each with the words that it begins with. Whatever is told so is the secret, if no word of a language is.
_TELLING = _forms(
    ("from von vom", rf"\w{{3,4}}\s{VALUE}\s(?:to|auf|zu|in|nach)\s{VALUE}"),
    ("set reset changed change changing", rf"\w{{3,8}}{_IT}\s(?:to|into)\s(?:be\s)?{VALUE}"),
    ("auf in", rf"\w{{2,3}}\s{VALUE}\s{_SET}"),
    ("geändert gesetzt gestellt zurückgesetzt umgestellt", rf"\w{{7,13}}\s(?:auf|in|zu)\s{VALUE}"),
    (
        "tried try trying probiert probier versucht versuch versuchen versuche",
        rf"\w{{3,9}}{_FILL}[\s:]{{1,2}}{VALUE}{_LIST}{_LIST}",
    ),
    (
        "haben hab habe",
        rf"\w{{3,5}}{_FILL}\s{VALUE}{_LIST}{_LIST}\s(?:aus)?(?:probiert|versucht|getestet|eingegeben|genommen)",
    ),
    (
        "new old current right next latest temporary temp neue neuer neues neu alte alter altes alt aktuelle richtige"
        " temporäre",
        rf"\w{{3,9}}(?:\sone)?(?:{_IS}|:)\s{VALUE}",
    ),
    ("number nummer zahl zahlen", r"\w{4,6}\s(\d{3}[ -]\d{3})(?![\w]|[ .,:/-]\d)"),
    ("nehm nehme benutz benutze nutz nutze verwende", rf"\w{{4,8}}\s(?:ich\s|das\s|immer\s){{0,2}}{VALUE}"),
    ("it that this es er das", rf"\w{{2,4}}{_IS}\s{VALUE}"),
    ("printed written noted saved stored entered listed", rf"\w{{5,7}}\s(?:down\s)?as\s{VALUE}"),
    (
        "guess think believe glaub glaube vermutlich wahrscheinlich maybe probably vielleicht",
        rf"\w{{5,14}}(?:\s(?:it'?s|it is|it was|es|ist|war|was)){{0,2}}\s{VALUE}{_LIST}",
    ),
)
# Here it has to look like one as well.
HANDED = _forms(
    (
        "gave texted sent told handed mailed hab habe gab haben",
        r"\w{3,6}\s(?:it\s)?(?:(?:her|him|them|you|me|us|ihr|ihm|ihnen|dir|mir|uns)\s)?"
        rf"(?:(?:the|das|new|neue|temp|temporary)\s){{0,2}}{VALUE}",
    )
)
_LOOSE = (
    *HANDED,
    *_forms(
        (
            "need needs brauche brauchst braucht show shows say says said zeigt sagt sagte read got gave gab nannte",
            r"\w{3,8}(?:\s(?:her|him|them|ihr|ihm|ihnen))?\s((?:[A-Z]{1,2}-)?\d{4,8}|\d{3}[ -]\d{3})"
            r"(?=\s?(?:[,;!?)\n]|\.\s|\.?$)|\s(?:but|aber)\s)",
        ),
        (
            "with mit using via by use uses used type types typed typing tippt tippe enter entered benutzt benutzen"
            " nutzen nutzt verwenden verwendet take nimm nehmen",
            rf"\w{{2,10}}(?:\s(?:dort|there|da|alle|all|sie|the|das)){{0,2}}\s{VALUE}",
        ),
    ),
)
# By the words that they begin with; and whether that tells enough.
FORMS_OF: dict[str, list[tuple[re.Pattern[str], bool]]] = {}
for _begins, _form in (*_TELLING, *_LOOSE):
    for _begin in _begins:
        FORMS_OF.setdefault(_begin, []).append((_form, (_begins, _form) in _TELLING))
# "... as the new password", "... als Kennwort": the value stands before.
AS = re.compile(rf"(?i)als?\s(?:(?:my|[a-zäöü]{{3,14}})\s){{0,3}}(?:[a-zäöü]{{2,12}}-?)?{_WHAT}(?!\w)")
# The value stands before: "Kettle-5 (temporary password)", "Kettle-5 is the new password".
NOTED = re.compile(
    rf"(?i)(?<!\S){VALUE}\s?(?:\((?:[a-zäöü]{{2,14}}\s){{0,2}}|\s(?:is|was|ist|war)\s(?:(?:the|my|his|her|das|mein|ihr|sein|[a-zäöü]{{3,10}})\s){{1,2}})"
    r"(?:[a-zäöü]{2,14}-)?$"
)
BEFORE = re.compile(rf"(?<!\S){VALUE}\s$")
