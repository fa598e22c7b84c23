"""Secrets in commands, in settings and in heads of requests: known by what stands before them there."""

import re
from collections.abc import Iterator

from masking.found import Located
from masking.reading import ReadText

_VALUE = r"(?:\"([^\"\n]{3,200})\"|'([^'\n]{3,200})'|([^\s\"',;&|<>]{3,200}))"
# Each with what stands in it anyway, words or signs in small letters: a text without that is not looked through.
_FORMS = tuple(
    (
        frozenset(filter(str.isalpha, begins.split())),
        tuple(each for each in begins.split() if not each.isalpha()),
        re.compile(form),
    )
    for begins, form in (
        # curl -u user:password, smbclient -U user%password
        ("-u --user", rf"(?<=\s)(?:-u|--user)[\s=]{{1,2}}[\"']?[^\s:\"']{{1,64}}:{_VALUE}"),
        ("-u", r"(?<=\s)-U\s{1,2}[^\s%]{1,64}%([^\s\"']{3,100})"),
        # mysql --password=..., psexec -p ..., sshpass -p ..., /pass:..., /p:...
        ("--pass", rf"(?<=\s)--pass(?:word|wd|phrase)?[\s=]{{1,2}}{_VALUE}"),
        ("mysql mariadb", rf"(?<=\s)-p{_VALUE}"),
        # docker login -u user -p ...
        ("-p", rf"(?<=\s)(?:-u|--user(?:name)?)[\s=]\S{{1,64}}\s(?:[^\n]{{0,60}}?\s)?-p\s(?!\d{{1,5}}\s){_VALUE}"),
        # Postfix: [relay]:587 user:password
        ("]:", rf"\]:\d{{2,5}}\s{{1,3}}[^\s:]{{1,64}}:{_VALUE}"),
        # OpenVPN: who logs in on the first line, the secret on the second.
        ("auth-user-pass", r"auth-user-pass[^\n]{0,20}\n\S{1,64}\n(\S{3,100})"),
        ("community", rf"community\s(?:name|string)\s(?:is\s|ist\s)?{_VALUE}"),
        ("sshpass psexec plink pscp winscp sqlcmd bcp isql smbmap ipmitool", rf"(?<=\s)-[pP]\s{{0,2}}{_VALUE}"),
        ("/p: /pass /pw /smbpass", rf"(?<=\s)/(?i:p|pass|pw|password|pwd|smbpass):{_VALUE}"),
        (
            "-pass -storepass -keypass -w",
            rf"(?<=\s)-(?:pass(?:in|out|word)?|storepass|keypass|w)\s{{1,2}}(?:pass:)?{_VALUE}",
        ),
        # net use x: \\server /user:name password; net user name password /add
        (
            "snmpwalk snmpget snmpset snmpbulkwalk",
            rf"(?<=snmp)(?:walk|get|set|bulkwalk)[^\n]{{0,40}}?\s-c\s{{1,2}}{_VALUE}",
        ),
        ("passwd chpasswd", r"echo\s{1,2}[\"']?(?:\w{1,40}:)?([^\s\"'|]{3,100})[\"']?\s?\|[^\n]{0,12}passwd"),
        ("/rp", rf"(?<=\s)/(?i:rp)\s{{1,2}}{_VALUE}"),
        ("key-string authentication-key", r"(?<!\S)(?:key-string|authentication-key)\s(?:\d\s)?([^\s\"']{4,100})"),
        ("/user:", rf"(?<=\s)/(?i:user):[^\s\"']{{1,64}}\s{{1,2}}(?!/){_VALUE}"),
        ("net", rf"(?i:net user)\s{{1,2}}[^\s/\"']{{1,64}}\s{{1,2}}(?!/){_VALUE}"),
        ("rasdial", rf"(?i:rasdial)\s{{1,2}}[^\s\"']{{1,40}}\s{{1,2}}[^\s\"']{{1,40}}\s{{1,2}}{_VALUE}"),
        (
            "sqlplus thin: oci: expdp impdp",
            r"(?:(?i:sqlplus|expdp|impdp)\s{1,2}(?:-\w{1,20}\s)?|thin:|oci:)[\w$]{1,40}/([^\s@/\"']{3,60})(?=@)",
        ),
        ("securestring", rf"(?i:securestring)(?:\s{{1,2}}-(?i:string))?\s{{1,2}}{_VALUE}"),
        # Cisco: username x password 7 ..., enable secret 5 ...
        (
            "secret password key psk",
            r"(?<=\s)(?:secret|password|passwd|psksecret|key|md5|key-string)\s(?:[0-9]|encrypted|ENC|cipher)\s([^\s\"']{4,100})",
        ),
        ("wpa_passphrase", rf"wpa_passphrase\s{{1,2}}\S{{1,40}}\s{{1,2}}{_VALUE}"),
        # A value beside its key, as XML has it.
        (
            "value=",
            rf"(?i:(?:pass|passwor[dt]|passwd|pwd|secret|token|key|pin)[\"'])\s{{1,3}}(?i:value)\s?=\s?{_VALUE}",
        ),
        ("</", r"(?i:(?:pass|passwor[dt]|passwd|pwd|secret|token|key|psk|keymaterial|pin)[\"']?)>([^<\n]{3,200})</"),
        # Sessions in the head of a request.
        (
            "sess= session= id= auth= token= xsrf= csrf=",
            r"(?i:(?<!\w)[\w.-]{0,30}(?:sess(?:ion)?(?:_?id)?|sid|auth|token|xsrf|csrf))=([\w.%+/=-]{12,2000})",
        ),
        # Hashes of passwords.
        (
            "$",
            r"(?<![\w$])(\$(?:1|2[abxy]?|5|6|y|apr1|argon2id?)\$[\w./$=,+-]{12,200})",
        ),
        ("secret=", r"(?<=[?&])secret=([A-Za-z2-7]{12,128})"),
        ("code= key= ticket=", r"(?<=[?&])(?:code|key|ticket|otp|reset)=([\w.%+/=-]{8,2000})"),
    )
)

_VARIABLES = ("$", "%", "{", "<")
_HASH = re.compile(r"\$\w{1,8}\$")


def command_secrets(read: ReadText) -> Iterator[Located]:
    """Find what a command or a setting has as its secret."""
    low = read.low
    for words, signs, form in _FORMS:
        if words and not words.isdisjoint(read.vocabulary):
            yield from _found(read, form)
            continue
        for sign in signs:
            if sign in low:
                yield from _found(read, form)
                break


def _found(read: ReadText, form: re.Pattern[str]) -> Iterator[Located]:
    for found in form.finditer(read.text):
        begin, end = found.span(found.lastindex or 0)
        # A variable is none; a hash begins with the same sign.
        if not read.text.startswith(_VARIABLES, begin) or _HASH.match(read.text, begin):
            yield Located(begin, end, "SECRET")
