"""Defanging of links and paths of other machines in an answer.

Anyone can write a ticket, and a model repeats its input. So a link can be followed only if an earlier ticket or a
document found for this ticket contains it letter for letter; its origin is then added. Other links are defanged as in
security reports (`hxxps://example[.]com`), except those to the documentation of vendors.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from types import SimpleNamespace

from privacy.redaction.text import folded
from workflow.answer import cut
from workflow.commands import commands_in
from workflow.note import WORDS

_END = r"[^\s<>\"'`\u3000-\u3020]"
_HOST = r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}"
# Domains that mail programs and desks turn into links automatically. Internal hosts have other top-level domains.
_TOP = (
    "com|net|org|info|biz|xyz|top|icu|club|site|online|shop|click|ru|su|cn|tk|ml|ga|cf|cc|pw|zip|mov|tv|ws"
    r"|co\.uk|org\.uk|com\.au|com\.br|co\.jp"
)
_LINK = re.compile(
    rf"""(?ix)
    (?:https?|ftps?|sftp|file|smb|cifs|ssh|rdp|ldaps?|telnet|vnc|git|svn|irc|magnet|webcal|feed|intent|market|steam|tg
        |whatsapp|msteams|zoommtg|skype|sip|xmpp|bitcoin|geo|ms-[a-z-]{{2,20}}|search-ms|view-source|jar)
        :\s?[\\/]{{1,4}}{_END}+
    | https?:[^\s\\/]{_END}*
    | (?<![a-z])(?:javascript|vbscript):\s*{_END}+
    | (?<![a-z])data:[a-z]+/[a-z0-9.+-]+[;,]{_END}*
    | (?<![a-z])(?:mailto|tel|sms|callto|facetime|skype|sip|whatsapp|magnet|webcal|xmpp|search-ms|ms-[a-z-]{{2,20}})
        :[^\s\\/]{_END}*
    | (?<![\\\w:])\\\\[^\s\\/<>"'`]+{_END}*                        # \\host\share
    | (?<![:\w/])//(?=[^\s/]{{0,200}}\.[a-z]){_END}+               # //host.example/x
    | (?<![\w.-])(?:www\d?|ftp)\.{_END}+
    | (?<![\w.-]){_HOST}[^\W\d_]{{2,24}}(?::\d{{1,5}})?[/?\#]{_END}*
    | (?<![\w.-])(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?::\d{{1,5}})?/{_END}+
    | (?<![\w.@-]){_HOST}(?:{_TOP})(?![\w@-]|\.\w|[\w.+-]*@)
    """
)
# Each link matches it. This search is first, because it takes a fiftieth of the time.
_MAY_HAVE_LINK = re.compile(r"[:\\/]|\.\S")
_PRODUCT = re.compile(r"(?ix)(?:asp|vb|ado|ml|microsoft|system)\.net|(?:monday|office|outlook|booking|salesforce)\.com")

# Hosts whose documentation only the vendor writes: no forum, redirection or other host in path and query.
_DOCUMENTATION_HOSTS = (
    r"(?:learn|support|docs)\.microsoft\.com|(?:helpx|experienceleague)\.adobe\.com|support\.(?:apple|google"
    r"|hp|lenovo|citrix|zoom|brother|logi|atlassian|zebra|omnissa)\.(?:com|org|us)|help\.(?:sap|salesforce"
    r"|okta|webex)\.com|docs\.(?:citrix|vmware|oracle|redhat|docker|github|fortinet|paloaltonetworks|python|nginx"
    r"|servicenow|aws\.amazon)\.(?:com|org)|access\.redhat\.com|cloud\.google\.com|kubernetes\.io|dev\.mysql\.com"
    r"|www\.(?:postgresql\.org|manageengine\.com|dell\.com/support)|kb\.synology\.com|knowledge\.broadcom\.com"
)
# Portals, without a path: behind one may be a request for consent.
_PORTALS = (
    r"(?:admin|portal|entra|intune|endpoint|security|purview|compliance|myaccount|mysignins|account)\.microsoft\.com"
    r"|(?:outlook|portal|www)\.office(?:365)?\.com|portal\.azure\.com|(?:admin|myaccount)\.google\.com"
    r"|(?:account|iforgot)\.apple\.com"
)
DOCUMENTATION = re.compile(
    rf"(?:https://)?(?:(?:{_DOCUMENTATION_HOSTS})(?:/(?!\S*(?:thread|answers|community|question|url))[\w./~-]*)?"
    rf"(?:\?(?!\S*client_id)[\w=&-]*)?(?:#[\w.-]*)?|(?:{_PORTALS})/?(?![/?#\w]))",
    re.ASCII,
)
_MAX_LENGTH = 1500
_MAX_LABEL_LENGTH = 60
_TRAILING = ".,;:!?)]}»”’“"
# An origin that a model claims, in any language.
_ORIGINS = "|".join(sorted({re.escape(words.origin.removesuffix("{}")) for words in WORDS.values()}))
_DOCUMENT = "|".join(sorted({re.escape(words.document) for words in WORDS.values()}))
_CLAIMED = re.compile(rf"\s*\((?:{_ORIGINS})(?:#|{_DOCUMENT})[^()]*\)")
_BLANKS = re.compile(r"[^\S\n]+")
_HEAD = re.compile(r"(?i)^[a-z][a-z0-9+.-]*:[\\/]*[^\\/?#]*|^[^\\/?#]*")
# A hair space keeps a link of the ticket readable, and no program makes it clickable.
BREAK = "\u200a"
_SEPARATORS = re.compile(r"(?<=\\\\)|(?=[.:@])|(?<=^//)")

Sources = Sequence[tuple[str, str]]
"""Name and text of each search result."""


def label(title: str, document: str = "document") -> str:
    """Return a document's name as a short origin that can't imitate another; `document` is the note's word for one."""
    plain = " ".join(re.sub(r"[()#\[\]\"]", " ", without_links(title)).split())
    return f'{document} "{cut(plain, _MAX_LABEL_LENGTH)}"'


def without_links(text: str) -> str:
    return _NO_SOURCES.links(" ".join(text[:_MAX_LENGTH].split()))


class Defanging:
    """Defangs the texts of one answer; `sources`: the search results for its `ticket`."""

    def __init__(self, sources: Sources, words: SimpleNamespace = WORDS["en"], ticket: Callable[[], str] = str) -> None:
        self._words = words
        self._ticket = ticket
        self._links: dict[str, str] = {}
        for name, text in reversed(sources):
            for key in (_lookup_key(link) for _, _, link in _links_in(_BLANKS.sub(" ", folded(text).text))):
                self._links |= {key: name, key.removeprefix("https://"): name}
        self._shown_origins: set[str] = set()

    def __call__(self, text: str) -> str:
        """Return the text without unsourced links, and with origins."""
        self._shown_origins.clear()
        return cut(self.links(_CLAIMED.sub("", text[:_MAX_LENGTH])), _MAX_LENGTH)

    def links(self, text: str) -> str:
        normalised, changes = folded(text), list[tuple[int, int, str]]()
        commands = [(each.begin, each.end) for each in commands_in(normalised.text)] if self._links else []
        for begin, end, link in _links_in(normalised.text):
            source = self._source_of(_lookup_key(link))
            if source is not None:
                # Behind a whole command, which can be copied.
                place = max([end, *(last for first, last in commands if first <= begin < last)])
                changes.append((place, place, self._origin(source)))
            elif DOCUMENTATION.fullmatch(normalised.original(begin, end)):
                continue
            elif _lookup_key(link) in self._ticket_links:
                # Redaction of all hosts restores them defanged.
                changes.append((begin, end, link if "[.]" in link else _SEPARATORS.sub(BREAK, link)))
            else:
                changes.append((begin, end, _defanged(link)))
        out, at = "", 0
        for begin, end, new in sorted(changes):
            out += normalised.original(at, begin) + new
            at = max(at, end)
        return out + normalised.original(at, len(normalised.text))

    @cached_property
    def _ticket_links(self) -> set[str]:
        keys = [_lookup_key(link) for _, _, link in _links_in(_BLANKS.sub(" ", folded(self._ticket()).text))]
        return {*keys, *(key.removeprefix("https://") for key in keys)}

    def _source_of(self, key: str) -> str | None:
        """Return the source of a link, or of a file in this shared folder."""
        if (name := self._links.get(key)) is not None or not key.startswith("\\\\"):
            return name
        return next((name for known, name in self._links.items() if known.startswith(f"{key}\\")), None)

    def _origin(self, source: str) -> str:
        if source in self._shown_origins:
            return ""
        self._shown_origins.add(source)
        return f" ({self._words.origin.format(source)})"


def _links_in(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _LINK.finditer(text) if _MAY_HAVE_LINK.search(text) else ():
        link = found.group().rstrip(_TRAILING)
        if link and not _PRODUCT.fullmatch(link):
            yield found.start(), found.start() + len(link), link


def _lookup_key(link: str) -> str:
    head = _HEAD.match(link)
    end = head.end() if head else 0
    return (link[:end].lower() + link[end:]).rstrip("/")


def _defanged(link: str) -> str:
    link = re.sub(r"(?i)(h)tt(ps?\s*:)", r"\1xx\2", link)
    link = re.sub(r"([A-Za-z][A-Za-z0-9+.-]*)\s*:(?!\d)", r"\1[:]", link)
    return link.replace("\\\\", "\\[\\]").replace("//", "/[/]" if link.startswith("//") else "//").replace(".", "[.]")


_NO_SOURCES = Defanging(())
