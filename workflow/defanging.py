"""What of an answer could be followed or run: links, paths of other machines, commands.

A ticket is written by anybody, and a model repeats what it reads. So a link or a command reaches a technician only if
it stands, letter for letter, in an earlier ticket or a document that was found for this one, and then with its origin.
A link that does not is defanged, as security people write those that must not be clicked (`hxxps://example[.]com`); a
command is left out, visibly.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence

LEFT_OUT = "[command left out: it stands in no earlier ticket and no document]"
# Domains that mail programs and desks make links of by themselves. A file's ending (setup.exe) and a host of a network
# of one's own (srv01.acme.local) are none.
_TOP = (
    "com|net|org|info|biz|edu|gov|mil|int|io|co|ai|app|dev|me|tv|cc|ws|to|ly|gg|sh|xyz|top|icu|site|online|store|shop"
    "|club|live|link|click|cloud|page|tech|pro|eu|uk|us|ca|au|nz|in|de|at|ch|fr|es|pt|it|nl|be|pl|cz|se|no|dk|fi|ru|ua"
    "|su|cn|hk|tw|jp|kr|br|mx|ar|tr|za|ng|ir|il|vn|id|ph|my|sg|th|ro|hu|gr|bg|rs|ie"
)
_LINK = re.compile(
    rf"""(?ix)
    \b[a-z][a-z0-9+.-]{{1,20}}:[\\/]{{1,4}}[^\s<>"']+     # https://, file:///, https:\/\/
    | \b(?:javascript|vbscript|data|mailto|tel|sms|ms-[a-z-]+|search-ms|file|callto|facetime)\s*:\s*[^\s<>"']+
    | \\\\[^\s\\<>"']+\\[^\s<>"']*                         # \\host\share
    | \bwww\.[^\s<>"']+
    | \b(?:[a-z0-9-]{{1,63}}\.){{1,8}}(?:{_TOP})\b(?:[:/?\#][^\s<>"']*)?
    """
)
_ADDRESS = re.compile(r"(?i)[a-z0-9._%+-]+@$")
_TRAILING = ".,;:!?)]}»”’*_"
# What begins a command, or shows that one is there. A name that is a word as well needs something like an option.
_COMMAND = re.compile(
    r"""(?ix)
    (?<![\w-])(?:
        (?:sudo|doas|runas)\s+[/\w-]\S*
      | (?:curl|wget|iwr|irm|iex|bitsadmin|certutil|mshta|regsvr32|rundll32|cscript|wscript|vssadmin|bcdedit|wevtutil
          |schtasks|diskpart|netsh|wmic|icacls|takeown|fsutil|gpupdate|gpresult|ipconfig|ifconfig|nslookup|tracert
          |traceroute|sfc|dism|chkdsk|robocopy|xcopy|psexec|ncat|socat|apt-get|dnf|systemctl|journalctl|useradd|usermod
          |chmod|chown|mkfs\S*|regedit|slmgr)(?:\.exe|\.vbs)?(?![\w-])
      | (?:reg|sc|nc|ssh|scp|telnet|ftp|apt|yum|pip|npm|passwd|cipher|dd|shred|crontab|msiexec|ping|kill|mount)
          (?:\.exe)?\s+(?:[-/"'$%\\|]|\S*[./\\:=@]\S|(?:add|delete|query|stop|start|create|install|config|import|export)\b)
      | (?:ssh|scp|sftp|rsync)\s+[^\n]{0,80}?[@:]\S
      | (?:powershell|pwsh|cmd|bash|zsh|sh|python[0-9.]*|perl|ruby|node|php|osascript)(?:\.exe)?\s+[-/]\S*
      | net\s+(?:user|localgroup|group|share|use|stop|start)\b
      | rm\s+-\w+ | del\s+/\w | rd\s+/\w | rmdir\s+/\w | format\s+[a-z]: | shutdown\s+[-/]\w
      | (?:set|get|new|remove|add|enable|disable|restart|stop|start|clear|reset|install|uninstall|import|export|test
          |repair|invoke|connect|update|unlock|register|mount|grant|revoke)-(?:ad|mp|az|mg|net|item|service|process
          |execution|user|mailbox|spo|exo|msol|computer|acl|content|object|variable|module|package|printer|local|dns|smb
          |vpn|wmi|cim|job|event|csv|command|expression|webrequest|restmethod|host|tpm|bitlocker|bitstransfer)\w*
      | eval\s*\( | exec\s*\( | system\s*\( | <script\b | \$\([^)]*\)
      | [a-z0-9]{1,40}\s{0,9}\|\s{0,9}(?:sudo\s+)?(?:ba|z|k|da)?sh\b
      | :\(\)\s*\{
    )"""
)
_REST_OF_COMMAND = re.compile(r"[^\n`]*?(?=`|$|\n|[.!?](?:\s+[A-ZÄÖÜ\d]|\s*$)|;\s+[a-z]+\s+[a-z]+\s+[a-z]+\s)")
# What joins the rest to it, so that the two are one.
_GOES_ON = re.compile(r"[|;&<>$`{}\\]|(?:^|\s)[-/]\w")
# There it must not go on either: the begin of another command is none.
_AND = "and|then|or|to|as|in|on|for|before|after|again|und|dann|oder|als|auf|et|puis|ou|y|luego|e|poi|en"
_END_IN_SOURCE = rf"(?:$|\n|`|[\"')\]»”]|[.,;:!?](?:\s|$)|\s+(?:{_AND})\b|\s*[(\u2013\u2014])"
_QUOTED = re.compile(r"`{1,3}[^`\n]+`{1,3}")
_BLANKS = re.compile(r"[^\S\n]+")

Sources = Sequence[tuple[str, str]]
"""What was found for a ticket: its name for people (`#103`, a title), and its text."""


def defanged(text: str, sources: Sources) -> str:
    """Return the text without commands and working links but for those of the sources, each with its origin."""
    text = unicodedata.normalize("NFKC", text)
    kept = _Kept(sources)
    return _links(_commands(text, kept), kept)


def without_links(text: str) -> str:
    """Return a subject or a title, which is shown as it is, without links that work."""
    return _links(unicodedata.normalize("NFKC", text), _Kept(()))


class _Kept:
    """What the sources have of either."""

    def __init__(self, sources: Sources) -> None:
        self._texts = [(name, _folded(text)) for name, text in sources]
        self._links: Mapping[str, str] = {
            _folded(link): name
            for name, text in reversed(sources)
            for _, link in _found_links(unicodedata.normalize("NFKC", text))
        }

    def link(self, link: str) -> str | None:
        """Return where a link stands, all of it; None if nowhere."""
        return self._links.get(_folded(link))

    def command(self, command: str) -> tuple[str, str | None]:
        """Return as much of a command as stands in one of them, and in which; None if that is not all that it does."""
        words = [found.end() for found in re.finditer(r"\S+", command)]
        for end in reversed(words):
            stands, rest = command[:end].rstrip(_TRAILING), command[end:]
            if _GOES_ON.search(rest):
                break
            wanted = re.compile(rf"(?<![\w./\\-]){re.escape(_folded(stands.strip('`')))}{_END_IN_SOURCE}")
            for name, text in self._texts:
                if wanted.search(text):
                    return stands, name
        return command, None


def _commands(text: str, kept: _Kept) -> str:
    out, at = [], 0
    for begin, end in _spans(text):
        if begin < at:
            continue
        stands, origin = kept.command(text[begin:end])
        out += [text[at:begin], f"{stands} (from {origin})" if origin else LEFT_OUT]
        at = begin + len(stands) if origin else end
    return "".join(out) + text[at:]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where commands begin and end: what is quoted as code, else to the end of the sentence."""
    quoted = [found.span() for found in _QUOTED.finditer(text)]
    spans = [span for span in quoted if _COMMAND.search(text, *span)]
    for found in _COMMAND.finditer(text):
        if any(begin <= found.start() < end for begin, end in quoted):
            continue
        rest = _REST_OF_COMMAND.match(text, found.end())
        spans.append((found.start(), rest.end() if rest else found.end()))
    return iter(sorted(spans))


def _links(text: str, kept: _Kept) -> str:
    out, at = [], 0
    for begin, link in _found_links(text):
        if _ADDRESS.search(text, 0, begin) is not None:
            continue  # the domain of a mail address
        origin = kept.link(link)
        if origin and text.startswith(f" (from {origin})", begin + len(link)):
            continue  # the end of a command that has been told of
        shown = _harmless(link) if origin is None else f"{link} (from {origin})"
        out += [text[at:begin], shown]
        at = begin + len(link)
    return "".join(out) + text[at:]


def _found_links(text: str) -> Iterator[tuple[int, str]]:
    for found in _LINK.finditer(text):
        link = found.group().rstrip(_TRAILING)
        if link:
            yield found.start(), link


def _harmless(link: str) -> str:
    steps: Sequence[Callable[[str], str]] = (
        lambda each: re.sub(r"(?i)(h)tt(ps?\s*:)", r"\1xx\2", each),
        lambda each: re.sub(r"([A-Za-z][A-Za-z0-9+.-]*)\s*:", r"\1[:]", each),
        lambda each: each.replace("\\\\", "\\[\\]"),
        lambda each: each.replace(".", "[.]"),
    )
    for step in steps:
        link = step(link)
    return link


def _folded(text: str) -> str:
    """Return a text as two of them are compared; its lines stay lines."""
    return _BLANKS.sub(" ", unicodedata.normalize("NFKC", text)).casefold().strip().rstrip("/")
