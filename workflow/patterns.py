"""Patterns of links and commands, by form, so that ordinary words match neither."""

import re

_END = r"[^\s<>\"'`\u3000-\u3020]"
_HOST = r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}"
# Domains that mail programs and desks turn into links automatically. Internal hosts have others.
_TOP = (
    "com|net|org|info|biz|xyz|top|icu|club|site|online|shop|click|ru|su|cn|tk|ml|ga|cf|cc|pw|zip|mov|tv|ws"
    r"|co\.uk|org\.uk|com\.au|com\.br|co\.jp"
)
LINK = re.compile(
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
MAY_HAVE_LINK = re.compile(r"[:\\/]|\.\S")
"""What each link has some of: looked for first, it costs a fiftieth."""
PRODUCT = re.compile(r"(?ix)(?:asp|vb|ado|ml|microsoft|system)\.net|(?:monday|office|outlook|booking|salesforce)\.com")

_OPTION = r"(?:--?[a-z?][\w-]*|/[a-z?]{1,12}\b)"
_PLACE = r"(?:https?:|[a-z]:\\|\\\\|[/~][\w.]|\S*[\w*]\.(?:exe|msi|ps1|bat|cmd|vbs|js|sh|py|pl|php|rb|jar|dll|sct|hta))"
_CODE = rf"(?:{_OPTION}|{_PLACE}|[\"'$%@&{{|>])"
_FOLDERS = "etc|home|var|usr|opt|tmp|boot|dev|mnt|media|root|bin|sbin|lib|srv|sys|proc|run"
_NEXT = r"(?:\s+\S+){0,2}?\s+"
COMMAND = re.compile(
    rf"""(?ix)
    (?<![a-z0-9.-])(?:
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
          |Uninstall|Format|Get|Reset|Grant)-(?:ExecutionPolicy|MpPreference|AD[A-Z]\w+|Service|Process|Item\w*|Content|Volume|Disk
          |Computer|Net[A-Z]\w+|WebRequest|RestMethod|Expression|Command|ScheduledTask|Local[A-Z]\w+|Mailbox\w*|Msol\w+
          |AppxPackage|WindowsOptionalFeature|VM|Type|Acl|BitsTransfer|Printer\w*|Variable|Module|Mg[A-Z]\w+))
          (?=\s+["'$\w-]|\s*[`|(]|\s*$)
      | (?:set|remove|clear|disable|add|stop|invoke|unlock)-(?:executionpolicy|mppreference|webrequest|restmethod
          |expression|aduser|adaccount|item|process)\s+\S
      | \w[\w.-]*\.(?:exe|ps1|bat|vbs|msi)\s+{_OPTION}
      # A program that is not known, by options that no sentence has.
      | [a-z][\w.-]{{2,30}}\s+(?:--[a-z][a-z-]{{2,}}|/(?!(?:{_FOLDERS})\b)[a-z_]{{3,}}(?=:|[.,;`)]*(?:\n|$)))(?!/)
      | (?-i:[A-Z][a-z]{{2,11}}-[A-Z][A-Za-z]{{2,30}}\s+-[A-Z][A-Za-z]+)
    )"""
)
# Allowed continuations of a whole command: the end, or a word that begins another clause.
_AND = "and|then|or|to|as|in|on|for|before|after|again|und|dann|oder|als|auf|et|puis|ou|y|luego|e|poi|en|aus"
END_OF_COMMAND = re.compile(
    rf"(?:$|\n|`|[\"')\]»”](?:\W|$)|[.,:!?](?:\s|$)(?!\s*[-/|&<>])|\s+(?:{_AND})\b|\s*\()(?!\0)", re.IGNORECASE
)
TICKETS = re.compile(
    r"(?i)(?:#\s?|\b(?:tickets?|requests?|incidents?|cases?|anfragen?|vorg[aä]nge?|demandes?|solicitud(?:es)?|richiest[ae])"
    r"[\s:]{0,3}(?:(?:id|no|nr|number|nummer|numero|número)\b[.:]?\s{0,2})?(?:(?:is|ist|es|est)\s)?#?"
    r"|\b(?:INC|SR|REQ)-?)(?=\d{2,20}(?!\w))\d+(?:\s?(?:,|and|und|et|y|e|en|&|or|oder)\s?#?\d{2,20}(?!\w)){0,8}"
)
"""Numbers that a text calls those of tickets."""
