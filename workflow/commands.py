"""Commands in an answer: found, compared with the sources, and left out if they are dangerous and in no source.

Anyone can write a ticket, and a model repeats its input. A command is in a source if its words occur there in this
order, whatever follows them. One without a source stays readable, and is marked as any other specific
(`workflow.specifics`); only those that delete, format, wipe, drop, disable a protection, or run foreign code are left
out. A name alone (ipconfig, PowerShell) is no command.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from privacy.redaction.text import folded

_OPTION = r"(?:--?[a-z?][\w-]*|/[a-z?]{1,12}\b)"
_PLACE = r"(?:https?:|[a-z]:\\|\\\\|[/~][\w.]|\S*[\w*]\.(?:exe|msi|ps1|bat|cmd|vbs|js|sh|py|pl|php|rb|jar|dll|sct|hta))"
_FOLDERS = "etc|home|var|usr|opt|tmp|boot|dev|mnt|media|root|bin|sbin|lib|srv|sys|proc|run"
_NEXT = r"(?:\s+\S+){0,2}?\s+"
_DANGEROUS = rf"""
      (?:rm|del|erase|rd|rmdir|ri|unlink)(?:\.exe)?\s+(?:{_OPTION}|{_PLACE}|[a-z]:\S*|["']|\S+\s+{_OPTION}
        |\S*[*%$\\]\S*)
    | (?-i:del|DEL|erase|rd|rmdir)\s+\S*[.]\S*[^\s.,;:!?)] | (?<![.])\bformat(?:\.com)?\s+(?:/\w+\s+)*[a-z]:(?!\w)
    | (?-i:Remove|Clear|Uninstall|Disable|Format|Reset|Unregister|Revoke)-(?!Table\b|List\b)
        [A-Z][A-Za-z]{{1,40}}(?=\s+(?!is\b|ist\b)["'$@*\w-]|\s*[`|(]|\s*$)
    | (?:remove|clear|disable)-(?:item|content|disk|aduser|mailbox|adaccount|volume)\s+\S
    | (?-i:Add|Set)-MpPreference\b | set-(?:mppreference|executionpolicy)\s+\S
    | (?-i:Set-NetFirewall\w+)\s+\S[^\n]*False | Stop-(?:Computer|VM)\b
    | (?:stop|set)-service\s+(?:-\w+\s+)?\S*(?:defend|sense|firewall|mpssvc|sophos|crowd|falcon|symantec|mcafee)\S*
    | diskpart\s+/\w | (?-i:clean\s+all)\b | cipher\s+/w | sdelete\S*\s+\S
    | shred\s+\S | wipefs\s+\S | mkfs(?:\.\w+)?\s+\S | dd\s+(?:if|of)=\S+ | mkswap\s+\S | fdisk\s+/\w
    | (?:lv|vg|pv)remove\s+\S | zfs\s+destroy | zpool\s+destroy | vssadmin\s+(?:delete|resize) | wbadmin\s+delete
    | wmic\s+\w+\s+(?:where\s+[^\n]{{1,60}}?)?\bdelete\b | auditpol\s+/clear | sgdisk\s+(?:--zap|-[zZ])
    | Suspend-BitLocker\b | robocopy\s[^\n]{{1,120}}?/(?:mir|purge)\b | \|\s*(?:del|rm|rd|ri)\b
    | bcdedit\s+/(?:set|delete) | fsutil\s+usn\s+delete | wevtutil\s+(?:cl|clear-log)\b
    | wmic\s+product\b[^\n]{{0,80}}\buninstall | fltmc\s+unload | reg(?:\.exe)?\s+(?:add|delete|unload)\s+\S
    | schtasks\s+/(?:delete|create)
    | sc(?:\.exe)?\s+(?:delete\s+\w|(?:stop|config)\s+\S*(?:defend|sense|mpssvc|wscsvc)\S*)
    | net1?(?:\.exe)?\s+(?:user|localgroup|group|accounts|share|use)\s+(?:\S+\s+){{0,3}}?/(?:del\w*|add|active:no)
    | net\s+stop\s+["']?\S*(?:defend|mpssvc|wscsvc|sophos|firewall)\S*
    | netsh\s+[^\n.]{{0,60}}?(?:\bstate\s+off\b|opmode\s+(?:mode=)?disable|\bdelete\b)
    | manage-bde\s+-(?:off|disable|forcerecovery|protectors\s+-d\w+) | setenforce\s+0 | ufw\s+(?:disable|reset|delete)
    | iptables\s+(?:-F|--flush|-X) | nft\s+flush | auditctl\s+-D | swapoff\s+-a
    | (?:systemctl|service)\s+(?:stop|disable|mask)\s+(?:\S+\s+)?\S*(?:firewall|ufw|auditd|apparmor|selinux|clamav
        |falcon|fail2ban)\S*
    | (?:service\s+)?\S*(?:firewalld|ufw|auditd)\s+stop\b | spctl\s+--master-disable | csrutil\s+disable
    | (?:user|group)del\s+\S | deluser\s+\S | dscl\s+\S+\s+-delete
    | diskutil\s+(?:erase\w*|partitionDisk|secureErase|apfs\s+delete\w+)
    | (?:drop|truncate)\s+(?:table|database|schema|view|index|user|column|tablespace)\s+(?!the\b)\S | truncate\s+-s
    | (?-i:TRUNCATE\s+\w) | delete\s+from\s+(?!the\b|your\b|all\b|his\b|her\b)[\w."\[\]]+\s*(?:where\b|;)
    | (?-i:DELETE\s+FROM\s+\S) | flushall\b | flushdb\b
    | git\s+(?:push\s+(?:\S+\s+)*?(?:--force\S*|-f\b|--delete)|reset\s+--hard|clean\s+-\w*f\w*|branch\s+-D
        |filter-branch)
    | kubectl\s+(?:\S+\s+){{0,4}}?(?:delete|drain)\s+\S | helm\s+(?:uninstall|delete)\s+\S | terraform\s+destroy
    | (?:docker|podman)\s+(?:\w+\s+)?(?:rm|rmi|prune)\b
    | (?:aws|az|gcloud|gsutil)\s+[^\n]{{0,60}}?(?:\bdelete\S*|\brm\b|\brb\b)
    | (?:pip3?|npm|gem|choco|winget|apt(?:-get)?|dnf|yum|brew|snap)\s+(?:remove|erase|purge|uninstall|autoremove)\s+\S
    | docker(?:-|\s+)compose\s+down\b | git\s+checkout\s+--\s
    | msiexec(?:\.exe)?\s+/(?:x|uninstall)\b | find\s+\S+[^\n]{{0,120}}?(?:-delete\b|-exec\s+rm\b) | crontab\s+-r\b
    | chmod\s+(?:-R\s+)?(?:0?777|[07]+\s+/(?!\w))
    | wmic\s+process\s+call\s+create | (?:ba|z)?sh\s+-c\b | erase\s+(?:startup-config|nvram:?|flash:?) | write\s+erase\b
    | delete\s+(?:/\w+\s+)*flash:\S* | (?:no\s+)?vtp\s+mode\s+\S+ | (?-i:factory-?reset)\s+\S | systemreset\s+-\w
    | [>]\s*/dev/sd\w
    | [a-z0-9_./'"-]{{1,60}}\s{{0,3}}\|\s{{0,3}}(?:sudo\s+)?(?:(?:ba|z|k|da)?sh|iex|python3?|perl|cmd|powershell)\b
    | (?:powershell|pwsh)(?:\.exe)?\s+[^\n]{{0,80}}?-(?:e|ec|enc\w*|w(?:indowstyle)?\s+hidden)\b
    | (?:iex|invoke-expression)\s*[("'$\w] | mshta(?:\.exe)?\s+\S | (?:regsvr32|rundll32)(?:\.exe)?\s+\S
    | certutil(?:\.exe)?\s+-\w*(?:urlcache|decode)\w* | bitsadmin\s+/transfer | (?:nc|ncat|socat)\s+-\w*[ec]\w*\s
    | (?:cmd|powershell|pwsh)(?:\.exe)?\s+[/-]c(?:ommand)?\s+["'&{{\s]{{0,4}}
        (?:rm|del|erase|rd|rmdir|format)\b | :\(\)\s*\{{ | <script\b | (?:eval|exec|system)\((?=["'\w])
"""
_PROGRAMS = rf"""
      (?:curl|wget|iwr|irm|certutil|bitsadmin|schtasks|vssadmin|bcdedit|wevtutil|icacls|takeown|fsutil|gpupdate
        |ipconfig|nslookup|tracert|sfc|dism|chkdsk|robocopy|xcopy|psexec|ncat|socat|systemctl|chmod|chown|msiexec
        |cscript|wscript|taskkill|manage-bde|wbadmin|cmdkey|mstsc|pkill|iptables|useradd|netstat|arp|gpresult|whoami
        |usermod|crontab|scp|sftp|rsync|openssl|xargs|forfiles|wusa|pnputil|w32tm|wsl|sed|base64|cacls|procdump|regedit
        |winget|repadmin|dsregcmd|powercfg|journalctl|klist|nltest|dcdiag|setspn)(?:\.exe|\.com)?{_NEXT}{_OPTION}
    | (?:nc|ssh|shutdown|cipher|kill|ping|reg|sc|java|tar|dd|find|format|move|copy|mv|cp|start|df|free)
        (?:\.exe|\.com)?\s+(?:{_OPTION}|[a-z]:\\\S*\s+{_OPTION})
    | (?:curl|wget|iwr|irm)\s+[^\s|]{{0,200}}[./][^\s|]
    | (?:curl|wget|iwr|irm|certutil|msiexec|cscript|wscript)(?:\.exe)?\s+{_PLACE}
    | (?:powershell|pwsh|cmd|bash|zsh|sh|python[0-9.]*|perl|ruby|node|php|osascript)(?:\.exe)?\s+
        (?:{_OPTION}|{_PLACE}|["'&])
    | (?:sudo|doas|runas)\s+(?:{_OPTION}|{_PLACE}|(?:chmod|chown|apt(?:-get)?|dnf|yum|bash|sh|su|cat|mv|cp|curl
        |wget|systemctl|service|python3?|pip3?|npm|docker|kill|pkill|useradd|usermod|passwd|mount|mkfs\S*|tee|nano
        |vi|vim|reboot)\b)
    | sc(?:\.exe)?\s+(?:config|create|stop|start|query)\s+\w
    | net\s+(?:stop|start)\s+[\w.-]+(?=\s*(?:$|[`.,;:!?\n])|\s+(?:and|und|et|y|e)\b)
    | systemctl\s+(?:re)?(?:start|load|stop|enable|disable|status)\s+[\w@.-]+
    | netsh\s+(?:int|interface|winsock|wlan|http|advfirewall|firewall|trace\s+start)\s+\w+
    | wmic\s+(?:process|os|product|service|useraccount|computersystem)\s+\w+
    | reg\s+(?:import|load|query)\s+\S*\\
    | (?:pip3?|npm|npx|gem|choco|winget|apt(?:-get)?|dnf|yum|brew|snap)\s+(?:i|install|exec|upgrade)\s+\S
    | (?:docker\s+(?:run|exec|restart)|kubectl\s+(?:apply|exec|run|get|rollout)|git\s+clone|npx)\s+\S
    | scp\s+\S+\s+\S+@[^\s`]+ | ssh\s+\S+@\S
    | (?:echo|cat|tee)\s[^\n]{{0,80}}>>?\s*[/~]
    | (?-i:SELECT\s[^\n]{{1,120}}?\sFROM\s\S) | %comspec% | \$\((?=[a-z])[^)\n]{{1,80}}\)
    | (?-i:(?:Get|Test|Measure|Resolve|Find|Show|Set|Add|New|Stop|Start|Restart|Suspend|Resume|Invoke|Unlock|Enable
        |Rename|Install|Grant|Repair|Update|Import|Export|Connect|Move|Copy|Register)-(?:[A-Z][a-z]*){{1,6}}(?<!-[A-Z]))
        (?=\s+(?:-[A-Za-z]|["'$]|[\w.@\\:-]*[\d\\@:"][\w.@\\:-]*|(?-i:[A-Z][\w.*-]+)(?:\s+-|\s*[`|.,;)]|\s*$)
        |(?-i:[a-z]\w*)(?=\s*(?:$|[`.;|]|,(?!\s\w)))))
    | \w[\w.-]*\.(?:exe|ps1|bat|vbs|msi)\s+{_OPTION}
    # An unknown program, recognized by options that do not occur in prose.
    | [a-z][\w.-]{{2,30}}\s+(?:--[a-z][a-z-]{{2,}}|/(?!(?:{_FOLDERS})\b)[a-z_]{{3,}}(?=:|[.,;`)]*(?:\n|$)))(?!/)
    | [a-z][\w.-]{{2,30}}\s/(?!(?:or|oder|ou|und|{_FOLDERS})\b)[a-z]{{2,16}}(?![\w/])
    | (?-i:[A-Z][a-z]{{2,11}}-[A-Z][A-Za-z]{{2,30}}\s+-[A-Z][A-Za-z]+)
"""
_CHANGING_CALL = r"(?:\)|\$_)\.(?:Delete|Remove\w*|Kill)\("
_DANGER = re.compile(rf"(?ix)(?<![a-z0-9.-])(?:{_DANGEROUS})|{_CHANGING_CALL}")
_COMMAND = re.compile(rf"(?ix)(?<![a-z0-9.-])(?:{_DANGEROUS}|{_PROGRAMS})|{_CHANGING_CALL}")
# Words that continue a command: options, paths, values, operators, names with capitals inside.
_CONTINUES = re.compile(r"[-/\\$%@\"'{<>|&=~*]|.*[\d\\/=:*$%@|_]|.*\w(?:[.-]|\[\.\])\w|\S*[a-z][A-Z]|[A-Z]{2}")
_OPERATOR = re.compile(r"(?:\|\|?|&&?|>>?|2>&1|<|;|where|set|from|sudo|\{)$", re.IGNORECASE)
_ENDS = re.compile(r"[,.;:!?)\]»”’…]+$")
_TOKEN = re.compile(r"\S+")
_DRIVE = re.compile(r"[A-Za-z]:")
_FOLDER_BEFORE = re.compile(r"(?:[^\s\"'`(]*[\\/])?$")
_UNIX_PATH = re.compile(r"(?<!\S)[~.]?/[\w.-]+/\S|^-r\w*\s")
# Line continuations of bash, cmd and PowerShell: a sign, or an operator that needs more.
_CONTINUATION = re.compile(r"(?:\s\\|\s?\^|\s`)[ \t]*\n\s*|(?<=[|&{,])[ \t]*\n\s*")
_QUOTES = re.compile(r"[\"'“”„‘’«»`]")
_PROGRAM_ENDING = re.compile(r"\.(?:exe|com)(?=\s|$)", re.IGNORECASE)
_RIGHTS = re.compile(r"^(?:sudo|doas)\s+(?!-)", re.IGNORECASE)
# A command at the end of a cut source may continue.
# A condition or `-WhatIf` behind it makes it another one.
_AFTER = r"(?=[.,;:!?)\]}]*(?:\s|$)|[|&>;→]|-(?-i:[A-ZÄÖÜ]))(?!\s*\.\.\.$)(?!\s+(?i:where|-whatif)\b)"
# "el estado del C:", but not "Run del C:": in Spanish and Italian an article.
_DEL = re.compile(r"del\s+(?![^\n]{0,60}\s?/[a-z]\b)", re.IGNORECASE)
_WORD_BEFORE = re.compile(r"([^\W\d_]+)[\"'”»]?\s+$")
_RUNS = {
    *("run", "then", "execute", "type", "enter", "use", "with", "and", "command"),
    *("führen", "sie", "dann", "mit", "befehl", "und", "ejecute", "ejecutar", "comando", "escriba", "luego"),
    *("esegua", "eseguire", "digiti", "poi", "exécutez", "lancez", "tapez", "puis", "commande", "voer", "uit"),
}
_MAX_TOKENS = 40


class Command(NamedTuple):
    """The position of a command in a text."""

    begin: int
    end: int
    is_dangerous: bool


def commands_in(text: str) -> Iterator[Command]:
    """Yield the commands of a folded text, in order and without overlaps."""
    at = 0
    while found := _COMMAND.search(text, at):
        if _is_article(text, found.start()):
            at = found.start() + len("del")
            continue
        begin, end = found.start(), _core_end(found)
        begin = _FOLDER_BEFORE.search(text, max(at, begin - 200), begin).start()  # type: ignore[union-attr]  # may be empty
        line = text.rfind("\n", 0, begin) + 1
        open_at = text.rfind("`", line, begin + 1)
        is_quoted = open_at >= 0 and text.count("`", line, open_at + 1) % 2 == 1
        close_at = text.find("`", end) if is_quoted else -1
        begin, end = (open_at + 1, close_at) if close_at >= 0 else (begin, _continued(text, end))
        yield Command(begin, end, _DANGER.search(text, begin, end) is not None)
        at = max(end, found.end())


def _is_article(text: str, begin: int) -> bool:
    before = _WORD_BEFORE.search(text, max(0, begin - 40), begin) if _DEL.match(text, begin) else None
    return before is not None and before[1].casefold() not in _RUNS


def _core_end(found: re.Match[str]) -> int:
    text, end = found.string, found.end()
    # The pattern may end inside a word.
    while end < len(text) and not text[end].isspace() and text[end] != "`":
        end += 1
    word_ends = _ENDS.search(text, max(found.start(), end - 200), end)
    return max(found.end(), word_ends.start()) if word_ends else end


def _continued(text: str, end: int) -> int:
    """Return the end of a command whose beginning ends at `end`: plain words behind it are prose."""
    after_operator = False
    for count, token in enumerate(_TOKEN.finditer(text, end)):
        if count >= _MAX_TOKENS or "\n" in text[end : token.start()] or "`" in token[0]:
            break
        if token.start() == end and not token[0].startswith((";", "|", "&", ">")):
            break
        word = _ENDS.sub("", token[0])
        continues = after_operator or (word and not token[0].startswith("(") and _CONTINUES.match(word))
        continues = continues or _DRIVE.fullmatch(token[0])
        if not (continues or _OPERATOR.match(token[0])):
            break
        after_operator = _OPERATOR.match(token[0]) is not None
        end = token.start() + len(word) if not after_operator else token.end()
        if word != token[0] and not after_operator:
            break
    return end


def without_dangerous(text: str, sources: Iterable[str], left_out: str) -> str:
    """Replace dangerous commands that no source contains by the words `left_out`."""
    whole = folded(text)
    dangerous = [each for each in commands_in(whole.text) if each.is_dangerous]
    if not dangerous:
        return text
    normalised = [normalised_commands(source) for source in sources]
    out, at = "", 0
    for begin, end, _ in dangerous:
        if any(has_command(source, whole.text[begin:end]) for source in normalised):
            continue
        out += whole.original(at, begin) + left_out
        at = end
    return out + whole.original(at, len(whole.text))


def normalised_commands(text: str) -> str:
    """Return a text in the form that `has_command` needs: without quotes, a continued line as one."""
    text = _PROGRAM_ENDING.sub("", _QUOTES.sub("", _CONTINUATION.sub(" ", folded(text).text)))
    return "\n".join(" ".join(line.split()) for line in text.split("\n"))


def has_command(normalised: str, command: str) -> bool:
    """Return True if the words of the command occur in this order in a text of `normalised_commands`."""
    wanted = _RIGHTS.sub("", normalised_commands(command)).rstrip(" .,;:")
    if not wanted:
        return False
    program, blank, rest = wanted.partition(" ")
    begin = r"(?<![\w./-])" if program[0].isalnum() else ""
    pattern = f"{begin}(?i:{re.escape(program)}){re.escape(blank + rest)}{_AFTER}"
    # Paths of Unix differ by case.
    return re.search(pattern, normalised, 0 if _UNIX_PATH.search(rest) else re.IGNORECASE) is not None
