"""Console access: tokens, roles (`support:acme`, `operator+texts`) and OpenID.

The environment and `SECRETS_DIR` are read again every few seconds. A deleted token or a changed role takes effect for
sessions that are already open. An invalid token disables only itself.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from config.addresses import address_problem, may_be_sent
from config.secret_files import DIRECTORY, NOT_LISTED, UNREADABLE, SecretFiles, unreadable
from config.settings import MIN_CHARACTERS

_MIN_TOKEN_LENGTH = 32
_REREAD_SECONDS = 5.0
_TOKEN, _ROLE, _OIDC = "CONSOLE_TOKEN_", "CONSOLE_ROLE_", "CONSOLE_OIDC_"
_TOKEN_SETTING = re.compile(f"(?:{_TOKEN}|{_ROLE})(.+)")
_NAME = re.compile(r"[A-Z0-9_]{1,40}")
_ROLE_TEXT = re.compile(r"(operator|support(?::(?P<tenant>[a-z0-9-]{1,63}))?)(?P<texts>\+texts)?")


@dataclass(frozen=True, slots=True)
class ConsoleRole:
    """Role; `tenant_id` None means all. `reads_texts` allows texts sent to a model."""

    kind: Literal["support", "operator"]
    tenant_id: str | None = None
    reads_texts: bool = False


def _parse_role(text: str, setting: str = "") -> ConsoleRole:
    match = _ROLE_TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{setting} must be support, support:TENANT or operator, optionally followed by +texts".strip()
        )
    kind: Literal["support", "operator"] = "operator" if match[1] == "operator" else "support"
    return ConsoleRole(kind, match["tenant"], match["texts"] is not None)


def _parse_roles(text: str) -> Mapping[str, ConsoleRole]:
    entries = [entry.rpartition("=") for entry in text.split(",") if entry.strip()]
    values = [value.strip() for value, _, _ in entries]
    if not all(values) or not values:
        raise ValueError("must be VALUE=ROLE entries separated by commas")
    if len(set(values)) < len(values):
        raise ValueError("must name each value once")
    return {value: _parse_role(role) for value, (_, _, role) in zip(values, entries, strict=True)}


def _issuer(url: str) -> str:
    if (problem := address_problem(url, secure=True)) is not None:
        raise ValueError(problem)
    return url


@dataclass(frozen=True, slots=True)
class ConsoleToken:
    """A console token. `name` is the setting's suffix in lower case with `-` for `_`."""

    name: str
    token: str = field(repr=False)
    role: ConsoleRole


class OidcSettings(BaseModel):
    """An OpenID provider. `roles`: value of `claim` -> role, in order of precedence."""

    model_config = ConfigDict(
        alias_generator=lambda name: f"{_OIDC}{name.upper()}",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    issuer: Annotated[str, AfterValidator(_issuer)]
    """The OpenID provider, as its tokens name their issuer: `https://login.example.com/realms/acme`."""
    client_id: str
    """The console's client id at the provider."""
    client_secret: str = Field("", repr=False)
    """The client's secret; unset for a public client, which uses PKCE alone."""
    claim: str = "groups"
    """The claim of the ID token with the values for roles, a text or a list: `groups` (default)."""
    roles: Annotated[Mapping[str, ConsoleRole], BeforeValidator(_parse_roles)]
    """Roles by the claim's value: `desk-ops=operator+texts, acme-helpdesk=support:acme`. The first value that a person
    has counts."""


ACCESS_SETTINGS: dict[str, str] = {
    "CONSOLE_TOKEN_<NAME>": "A login token of at least 32 characters (`openssl rand -base64 32`); `<NAME>` is its "
    "holder in the log.",
    "CONSOLE_ROLE_<NAME>": "The token's role: `support` (all tenants), `support:acme` (one tenant) or `operator` (may "
    "also change several jobs at once); `+texts` after it allows reading texts that a model received.",
} | {str(field.alias): " ".join(str(field.description).split()) for field in OidcSettings.model_fields.values()}
"""Login settings, each with its text for the documents."""


@dataclass(frozen=True, slots=True)
class ConsoleAccess:
    """Valid logins. `problems`: one sentence per unusable setting, without its value."""

    tokens: tuple[ConsoleToken, ...] = ()
    oidc: OidcSettings | None = None
    problems: tuple[str, ...] = ()

    @property
    def secrets(self) -> dict[tuple[str, str], str]:
        """Login secrets by ("", setting), in the form of `own_secrets`."""
        secrets = {("", f"{_TOKEN}{token.name.upper().replace('-', '_')}"): token.token for token in self.tokens}
        if self.oidc and self.oidc.client_secret:
            secrets["", f"{_OIDC}CLIENT_SECRET"] = self.oidc.client_secret
        return secrets

    @property
    def roles(self) -> list[ConsoleRole]:
        return [*(token.role for token in self.tokens), *(self.oidc.roles.values() if self.oidc else ())]


def read_access(
    secrets_dir: Path | None,
    *,
    on_problem: Callable[[str], None] = lambda _: None,
    now: Callable[[], float] = time.time,
) -> Callable[[], Mapping[str, str]]:
    """Return a reader of login settings; files override the environment.

    A token and its role change together, as do all settings of the provider.
    """

    def group(name: str) -> str:
        if token := _TOKEN_SETTING.fullmatch(name):
            return f"token {token[1]}"
        return "provider" if name.startswith(_OIDC) else ""

    def is_secret(name: str) -> bool:
        return name.startswith((_TOKEN, f"{_OIDC}CLIENT_SECRET"))

    return SecretFiles(secrets_dir, group=group, secret=is_secret, on_problem=on_problem, now=now).over_environment


class AccessDirectory:
    """Current console access; `on_problem` receives problems after the start."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, str]],
        *,
        on_problem: Callable[[str], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._on_problem = on_problem
        self._monotonic = monotonic
        self._access = parse_access(read())
        self._read_at = monotonic()

    def now(self) -> ConsoleAccess:
        """Return the current access, read again if it is older than 5 seconds."""
        now = self._monotonic()
        if now - self._read_at >= _REREAD_SECONDS:
            self._read_at = now
            before, self._access = self._access, parse_access(self._read())
            for problem in self._access.problems:
                if problem not in before.problems:
                    self._on_problem(problem)
        return self._access


def parse_access(values: Mapping[str, str]) -> ConsoleAccess:
    """Parse the access and its problems from `values` (setting name -> value).

    Access is empty until `SECRETS_DIR` can be listed, because a role there may be narrower.
    """
    if values.get(DIRECTORY) == UNREADABLE:
        return ConsoleAccess(problems=(NOT_LISTED,))
    problems: list[str] = []
    tokens = _tokens(values, problems)
    return ConsoleAccess(tokens, _oidc(values, problems), tuple(problems))


def _tokens(values: Mapping[str, str], problems: list[str]) -> tuple[ConsoleToken, ...]:
    present = {name.removeprefix(_TOKEN): value for name, value in sorted(values.items()) if name.startswith(_TOKEN)}
    accepted = []
    for suffix, token in present.items():
        try:
            _check_token(suffix, token, is_shared=list(present.values()).count(token) > 1)
            role = _read_role(f"{_ROLE}{suffix}", values)
            accepted.append(ConsoleToken(suffix.lower().replace("_", "-"), token, role))
        except ValueError as failure:
            problems.append(f"{failure}: the token is disabled")
    orphans = [name for name in sorted(values) if name.startswith(_ROLE) and name.removeprefix(_ROLE) not in present]
    problems += [f"{name} is set, but {_TOKEN}{name.removeprefix(_ROLE)} is not" for name in orphans]
    return tuple(accepted)


def _check_token(suffix: str, token: str, *, is_shared: bool) -> None:
    name = f"{_TOKEN}{suffix}"
    if token == UNREADABLE:
        raise ValueError(unreadable(name))
    if len(token) < _MIN_TOKEN_LENGTH or not may_be_sent(token) or " " in token:
        raise ValueError(f"{name} must have at least {_MIN_TOKEN_LENGTH} characters and no blanks")
    if len(set(token)) < MIN_CHARACTERS:
        raise ValueError(f"{name} could be guessed: it has fewer than {MIN_CHARACTERS} different characters")
    if is_shared:
        raise ValueError(f"{name} is the same as another token")
    if not _NAME.fullmatch(suffix) or "ERROR" in suffix:
        raise ValueError(f"{name}: a name has at most 40 characters A-Z, 0-9 and _, and not 'ERROR'")


def _read_role(name: str, values: Mapping[str, str]) -> ConsoleRole:
    if name not in values:
        raise ValueError(f"{name} is missing")
    if values[name] == UNREADABLE:
        raise ValueError(unreadable(name))
    return _parse_role(values[name], name)


def _oidc(values: Mapping[str, str], problems: list[str]) -> OidcSettings | None:
    settings = {name: value for name, value in values.items() if name.startswith(_OIDC)}
    if not settings:
        return None
    problems_by_name = {name: unreadable(name) for name, value in settings.items() if value == UNREADABLE}
    oidc = None
    try:
        oidc = OidcSettings.model_validate(settings)
    except ValidationError as failure:
        for problem in failure.errors(include_url=False):
            name = str(problem["loc"][0])
            reason = {"missing": "is missing", "extra_forbidden": "is unknown"}.get(problem["type"])
            problems_by_name.setdefault(name, f"{name} {reason or problem['msg'].removeprefix('Value error, ')}")
    problems += [f"{sentence}: login by the provider is disabled" for sentence in problems_by_name.values()]
    return None if problems_by_name else oidc
