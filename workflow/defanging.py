"""Defanging of links, paths of other machines and commands in an answer.

Anyone can write a ticket, and a model repeats its input. So a link or a command reaches a technician only if an earlier
ticket or a document found for this ticket contains it letter for letter; its origin is then added. Other links are
defanged as in security reports (`hxxps://example[.]com`), except those to the documentation of vendors. Other commands
are visibly left out, except those that only read (`ipconfig /all`, `Get-Service`). A name alone (ipconfig, PowerShell)
is no command.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from types import SimpleNamespace

from privacy.redaction.text import Folded, folded
from workflow.answer import cut
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
_READS = "Get|Test|Measure|Resolve|Find|Show|Sort|Select|Where|Group|Compare"
READ_ONLY = (
    rf"(?-i:(?:{_READS})-[A-Z][A-Za-z]+|Format-(?:Table|List)\b)|(?:ipconfig\s+/all|cmdkey\s+/list|manage-bde\s+-status"
    r"|powercfg\s+/(?:query|batteryreport|energy|requests|lastwake|a)|gpresult\s+/[rz]|whoami\s+/(?:all|groups|priv|upn)"
    r"|sfc\s+/verifyonly|dism\s+/online\s+/cleanup-image\s+/(?:check|scan)health|netstat\s+-[abnor]+|arp\s+-a"
    r"|w32tm\s+/query\s+/\w+|repadmin\s+/(?:replsummary|showrepl)|dsregcmd\s+/status|certutil\s+-store"
    r"|vssadmin\s+list\s+\w+|netsh\s+(?:wlan|int(?:erface)?|winhttp|advfirewall)\s+(?:\w+\s+)?show|sc\s+query"
    r"|systemctl\s+status|(?:excel|outlook|winword|powerpnt)(?:\.exe)?\s+/safe|df\s+-h|free\s+-m)(?![\w/])"
)
# Changes by a reading command: `(Get-Item x).Delete()`, `| Out-File`, `> C:\x`.
_CHANGE = r"[^\n]{0,200}(?:(?:\)|\$_)\.[A-Za-z]\w*\(|\|\s?(?:Out-File|Export-\w+|Tee-Object)|>\s?[\w$%~]*[:\\/])"
_OPTION = r"(?:--?[a-z?][\w-]*|/[a-z?]{1,12}\b)"
_PLACE = r"(?:https?:|[a-z]:\\|\\\\|[/~][\w.]|\S*[\w*]\.(?:exe|msi|ps1|bat|cmd|vbs|js|sh|py|pl|php|rb|jar|dll|sct|hta))"
_FOLDERS = "etc|home|var|usr|opt|tmp|boot|dev|mnt|media|root|bin|sbin|lib|srv|sys|proc|run"
_NEXT = r"(?:\s+\S+){0,2}?\s+"
_CLAUSE_STARTS = (
    "and|then|or|to|as|in|on|for|before|after|again|at|with|followed|from|by|while|until|when|if|so|the|this|it|und|dann"
    "|oder|als|auf|am|im|beim|mit|aus|einen?|eine|den|das|die|der|nach|vom|von|bis|wenn|damit|danach|et|puis|ou|sur|avec"
    "|pour|dans|depuis|suivi|le|la|les|un|une|y|luego|con|desde|para|seguido|hasta|el|los|una|e|poi|per|seguito|en|daarna"
    "|gevolgd|het|een|depois|seguido|o"
)
_PROSE = "is|ist|est|es|il|cmdlet|command|switch"
_COMMAND = re.compile(
    rf"""(?ix)
    (?<![a-z0-9.-])(?!(?:{READ_ONLY})(?!{_CHANGE}))(?:
        (?:curl|wget|iwr|irm|iex|certutil|bitsadmin|schtasks|vssadmin|bcdedit|wevtutil|icacls|takeown|fsutil|gpupdate
          |ipconfig|nslookup|tracert|sfc|dism|chkdsk|robocopy|xcopy|psexec|ncat|socat|systemctl|chmod|chown|msiexec
          |regsvr32|rundll32|mshta|cscript|wscript|taskkill|manage-bde|wbadmin|cmdkey|mstsc|pkill|iptables|useradd
          |usermod|crontab|scp|sftp|rsync|openssl|xargs|rmdir
          |forfiles|wusa|pnputil|w32tm|wsl|sed|base64|cacls|procdump|regedit|winget|wbadmin)(?:\.exe|\.com)?{_NEXT}{_OPTION}
      | (?:nc|ssh|shutdown|cipher|kill|ping|reg|sc|java|tar|dd|find|rm|del|erase|rd|ri|format|move|copy|mv|cp|start)
          (?:\.exe|\.com)?\s+(?:{_OPTION}|[a-z]:\\\S*\s+{_OPTION})
      | (?:rm|del|erase|rd)\s+\S+\s+{_OPTION}
      | (?:curl|wget|iwr|irm)\s+[^\s|]{{0,200}}[./][^\s|]
      | (?:curl|wget|iwr|irm|certutil|mshta|rundll32|regsvr32|msiexec|cscript|wscript|rm|del|erase|rd|rmdir)
          (?:\.exe)?\s+{_PLACE}
      | (?:powershell|pwsh|cmd|bash|zsh|sh|python[0-9.]*|perl|ruby|node|php|osascript)(?:\.exe)?\s+
          (?:{_OPTION}|{_PLACE}|["'&])
      | (?:sudo|doas|runas)\s+(?:{_OPTION}|{_PLACE}|(?:rm|chmod|chown|apt(?:-get)?|dnf|yum|bash|sh|su|cat|mv|cp|curl
          |wget|systemctl|service|python3?|pip3?|npm|docker|kill|pkill|useradd|usermod|passwd|mount|dd|mkfs\S*|tee|nano
          |vi|vim|reboot)\b)
      | net1?(?:\.exe)?\s+(?:user|localgroup|group|accounts|share|use|stop|start)\s+
          (?:\S+\s+){{0,3}}?(?:/\w+|\S*[\d!]\S*)
      | sc(?:\.exe)?\s+(?:delete|config|create|stop)\s+\w
      | net\s+(?:stop|start)\s+[\w.-]+(?=\s*(?:$|[`.,;:!?\n]))
      | netsh\s+(?:int|interface|winsock|wlan|http|advfirewall|firewall|trace\s+start)\s+\w+
      | wmic\s+(?:process|os|product|service|shadowcopy|useraccount|computersystem)\s+\w+
      | vssadmin\s+delete | diskpart\s+/\w | manage-bde\s+-
      | reg\s+(?:add|delete|import|load)\s+\S*\\
      | (?:pip3?|npm|npx|gem|choco|winget|apt(?:-get)?|dnf|yum|brew|snap)\s+(?:i|install|exec|remove|upgrade)\s+\S
      | (?:docker\s+(?:run|exec)|kubectl\s+(?:delete|apply|exec|run)|git\s+clone|npx)\s+\S
      | scp\s+\S+\s+\S+@\S+ | ssh\s+\S+@\S
      | format(?:\.com)?\s+(?:/\w+\s+)?[a-z]:(?!\w)
      | [a-z0-9_./'"-]{{1,60}}\s{{0,3}}\|\s{{0,3}}(?:sudo\s+)?(?:(?:ba|z|k|da)?sh|iex|python3?|perl|cmd|powershell)\b
      | (?:echo|cat|tee)\s[^\n]{{0,80}}>>?\s*[/~]
      | %comspec% | :\(\)\s*\{{ | <script\b | \$\((?=[a-z])[^)\n]{{1,80}}\) | (?:eval|exec|system)\((?=["'\w])
      | (?<![a-z])(?-i:(?:Set|Remove|Clear|Disable|Enable|Add|New|Stop|Start|Restart|Invoke|Unlock|Rename|Install
          |Uninstall|Format|Reset|Grant)-(?:ExecutionPolicy|MpPreference|AD[A-Z]\w+|Service|Process|Item\w*|Content|Volume|Disk
          |Computer|Net[A-Z]\w+|WebRequest|RestMethod|Expression|Command|ScheduledTask|Local[A-Z]\w+|Mailbox\w*|Msol\w+
          |AppxPackage|WindowsOptionalFeature|VM|Type|Acl|BitsTransfer|Printer\w*|Variable|Module|Mg[A-Z]\w+))
          (?=\s+(?!(?-i:{_CLAUSE_STARTS}|{_PROSE})\b)["'$\w-]|\s*[`|(]|\s*$)
      | (?:set|remove|clear|disable|add|stop|invoke|unlock)-(?:executionpolicy|mppreference|webrequest|restmethod
          |expression|aduser|adaccount|item|process)\s+\S
      | \w[\w.-]*\.(?:exe|ps1|bat|vbs|msi)\s+{_OPTION}
      | (?-i:(?:{_READS})-[A-Z][A-Za-z]+){_CHANGE}
      # An unknown program, recognized by options that do not occur in prose.
      | [a-z][\w.-]{{2,30}}\s+(?:--[a-z][a-z-]{{2,}}|/(?!(?:{_FOLDERS})\b)[a-z_]{{3,}}(?=:|[.,;`)]*(?:\n|$)))(?!/)
      | (?-i:[A-Z][a-z]{{2,11}}-[A-Z][A-Za-z]{{2,30}}\s+-[A-Z][A-Za-z]+)
    )"""
)
# Allowed continuations of a whole command: the end, or a word that begins another clause.
_END_OF_COMMAND = re.compile(
    rf"(?:$|\n|`|[\"')\]»”“](?:\W|$)|[.,:!?](?:\s|$)(?!\s*[-/|&<>])|;?\s+(?:{_CLAUSE_STARTS})\b|\s*\()(?!\0)",
    re.IGNORECASE,
)

# In a source, also before the next command of a chain, or an arrow to its result.
_END_IN_SOURCE = re.compile(rf"{_END_OF_COMMAND.pattern}|\s+(?:[-=]>|→|&&)", re.IGNORECASE)
# A cmdlet alone, before a word of the sentence.
_CMDLET = re.compile(r"(?!Remove|Clear|Format|Uninstall|Disable|Reset|Stop)[A-Z][a-z]+-[A-Z]\w+")
_PLAIN_WORD = re.compile(r"\s+[a-zß-ÿ]{3,}(?=[\s.,;:!?)–-]|$)")

# "repadmin " before "/syncall /AdeP", which looks like a program of its own.
_PROGRAM_BEFORE = re.compile(r"(?<![\w./-])[a-z][\w.-]*[^\S\n]/$", re.IGNORECASE)
_FOLDER_BEFORE = re.compile(r"(?:[^\s\"'`(]*[\\/])?$")
_DRIVE = re.compile(r"\s[A-Za-z]$")
_MAX_PROGRAM_LENGTH = 40
_MAX_LENGTH = 1500
_MAX_LABEL_LENGTH = 60
_MAX_WORDS = 40
_TRAILING = ".,;:!?)]}»”’“"
# An origin that a model claims, in any language.
_ORIGINS = "|".join(sorted({re.escape(words.origin.removesuffix("{}")) for words in WORDS.values()}))
_CLAIMED = re.compile(rf"\s*\((?:{_ORIGINS})(?:#|document)[^()]*\)")
_BLANKS = re.compile(r"[^\S\n]+")
_HEAD = re.compile(r"(?i)^[a-z][a-z0-9+.-]*:[\\/]*[^\\/?#]*|^[^\\/?#]*")
# A hair space keeps a link of the ticket readable, and no program makes it clickable.
BREAK = "\u200a"
_SEPARATORS = re.compile(r"(?<=\\\\)|(?=[.:@])|(?<=^//)")
# Marks where a source was cut: the text, and a command that ends there, may continue.
CUT = "\0"

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
        self._texts = [(name, _BLANKS.sub(" ", folded(text).text)) for name, text in sources]
        self._links: dict[str, str] = {}
        for name, text in reversed(self._texts):
            for key in (_lookup_key(link) for _, _, link in _links_in(text)):
                self._links |= {key: name, key.removeprefix("https://"): name}
        self._shown_origins: set[str] = set()
        left_out = re.escape(words.command_left_out)
        self._repeated = re.compile(rf"(?:{left_out}\s*)+{left_out}")

    def __call__(self, text: str) -> str:
        """Return the text without unsourced links and commands, and with origins."""
        self._shown_origins.clear()
        safe = self.links(self._commands(_CLAIMED.sub("", text[:_MAX_LENGTH])))
        return cut(self._repeated.sub(self._words.command_left_out, safe), _MAX_LENGTH)

    def links(self, text: str) -> str:
        normalised, out, at = folded(text), "", 0
        for begin, end, link in _links_in(normalised.text):
            source = self._source_of(_lookup_key(link))
            out += normalised.original(at, begin)
            shown = normalised.original(begin, end)
            if source is not None:
                out += shown + self._origin(source)
            elif DOCUMENTATION.fullmatch(shown):
                out += shown
            elif _lookup_key(link) in self._ticket_links:
                # Redaction of all hosts restores them defanged.
                out += link if "[.]" in link else _SEPARATORS.sub(BREAK, link)
            else:
                out += _defanged(link)
            at = end
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

    def _commands(self, text: str) -> str:
        normalised, out, at = folded(text), "", 0
        for begin, end in _spans(normalised):
            if begin < at:
                continue
            part, source = self._sourced_part(normalised.text[begin:end], normalised.text[end:])
            out += normalised.original(at, begin)
            if source is None:
                out, at = out + self._words.command_left_out, end
            else:
                at = begin + len(part)
                at += normalised.text.startswith("`", at)
                out += normalised.original(begin, at) + self._origin(source)
        return out + normalised.original(at, len(normalised.text))

    def _sourced_part(self, command: str, following: str) -> tuple[str, str | None]:
        """Return the longest start of the command that a source contains, and the source."""
        ends = [found.end() for found in re.finditer(r"\S+", command)][:_MAX_WORDS]
        for end in reversed(ends):
            part = command[:end].rstrip(_TRAILING + "`")
            if _DRIVE.search(part) and command.startswith(":", len(part)):
                part += ":"
            rest = command[len(part) :] + following
            command_text = _BLANKS.sub(" ", part).strip("` ")
            if not _END_OF_COMMAND.match(rest) and not (_CMDLET.fullmatch(command_text) and _PLAIN_WORD.match(rest)):
                continue
            source = next((name for name, text in self._texts if _has_command(text, command_text)), None)
            if source is not None:
                return part, source
        return command, None

    def _origin(self, source: str) -> str:
        if source in self._shown_origins:
            return ""
        self._shown_origins.add(source)
        return f" ({self._words.origin.format(source)})"


def _has_command(text: str, command: str) -> bool:
    if command not in text:
        return False
    begins = re.finditer(rf"(?<![\w./-])(?={re.escape(command)})", text)
    return any(_END_IN_SOURCE.match(text, found.start() + len(command)) for found in begins)


def _spans(normalised: Folded) -> Iterator[tuple[int, int]]:
    text, at = normalised.text, 0
    while found := _COMMAND.search(text, at):
        begin, line_end = found.start(), text.find("\n", found.start())
        if option := _PROGRAM_BEFORE.search(text, max(at, begin - _MAX_PROGRAM_LENGTH), begin):
            begin = option.start()
        begin = _FOLDER_BEFORE.search(text, max(at, begin - _MAX_LENGTH), begin).start()  # type: ignore[union-attr]  # may be empty
        line_end = len(text) if line_end < 0 else line_end
        open_at = text.rfind("`", text.rfind("\n", 0, begin) + 1, begin + 1)
        quoted = open_at >= 0 and text.count("`", text.rfind("\n", 0, begin) + 1, open_at + 1) % 2 == 1
        close_at = text.find("`", found.end()) if quoted else -1
        if close_at >= 0:
            begin, end = open_at, close_at + 1
        else:
            stop = re.compile(r"[.!?](?=\s+[^\Wa-z\d_]|\s*$)").search(text, found.end(), line_end)
            end = stop.start() if stop else line_end
        yield begin, max(end, found.end())
        at = max(end, found.end())


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
