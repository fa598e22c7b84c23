"""Tenants' settings that are not secret: the pydantic model of `tenants.toml`.

A new setting needs only a field here. Its validation, its row in `docs/settings.md` and its JSON schema derive from it.
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.fields import FieldInfo

from config.addresses import ODD_KEY, address_problem, may_be_sent
from config.ticket_rules import fold

EmbeddingKind = Literal["none", "local", "endpoint"]
MaskingKind = Literal["none", "personal", "all"]
MASKINGS: tuple[str, ...] = get_args(MaskingKind)
"""Masking levels in ascending order."""
EventOrKind = Annotated[str, StringConstraints(pattern="^(event|category|group|site|template)$")]
Kind = Annotated[str, StringConstraints(pattern="^(category|group|site|template)$")]


def _folded(name: str) -> str:
    if not (name := fold(name)):
        raise ValueError("must not be empty")
    return name


def _sendable(value: str) -> str:
    if not may_be_sent(value):
        raise ValueError(ODD_KEY)
    return value


def _address(url: str, *, secure: bool = False) -> str:
    if url and (problem := address_problem(url, secure=secure)) is not None:
        raise ValueError(problem)
    return url.rstrip("/")


Name = Annotated[str, AfterValidator(_folded)]
Status = Annotated[str, Field(min_length=1), AfterValidator(str.casefold)]
Address = Annotated[str, AfterValidator(_address)]
SecureAddress = Annotated[str, AfterValidator(partial(_address, secure=True))]
Sendable = Annotated[str, AfterValidator(_sendable)]
Count = Annotated[int, Field(ge=1, le=999_999_999)]
"""Positive count that fits into a Postgres integer."""


class TenantSection(BaseModel):
    """A table of the file. Unknown keys are errors; messages contain no values."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
        use_attribute_docstrings=True,
    )


class WebhookSection(TenantSection):
    """Webhook verification."""

    require_timestamp: bool = False
    """`true`: a signature without a signed timestamp is refused, so that an old request can't be sent again (GitHub's
    scheme has none)."""
    mode: Literal["push", "poll"] = "push"
    """`poll` for a desk that can send no webhook: housekeeping looks for its new tickets instead, and no secret is
    needed ([Reconcile](reconcile.md#a-desk-that-can-send-no-webhook))."""


class ServiceDeskSection(TenantSection):
    """Access to the desk, and the data copied from it."""

    portal_id: Sendable = ""
    """On premises: sent as `PORTALID`, for a desk whose portal is chosen by that header."""
    client_id: Sendable = ""
    """Cloud: OAuth client id."""
    accounts_url: SecureAddress = ""
    """Cloud: the accounts host that gives tokens, e.g. `https://accounts.zoho.eu`."""
    rate_per_minute: Count | None = None
    """Calls a minute that the desk takes, of all processes together: 60 on premises, 30 on cloud unless set. Copying
    for context takes a third at most, and nothing while jobs wait for it."""
    failure_note: bool = False
    """`true`: a ticket that GPT-4 fails for gets a short note with what was found."""
    history_days: Annotated[int, Field(ge=1, le=9999)] = 365
    """How far back its tickets are copied for context."""
    conversation: bool = False
    """`true`: the conversation of a closed ticket is copied with it, its last ten mails, each a call of the desk."""
    embeddings: EmbeddingKind = "none"
    """By what its copies are found beside their words, other languages included: `local`, a small model in our own
    processes; `endpoint`, to which their texts are sent (`EMBEDDINGS_BASE_URL`)."""
    languages: tuple[Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$", to_lower=True)], ...] = ()
    """Languages of its tickets and solutions, as codes: unset, `en`, `de`, `fr`, `es`, `it`, `nl` and `pt`, told apart
    text by text. Where all are in one, name that one: nothing is guessed then."""
    closed_statuses: frozenset[Status] = frozenset()
    """More names of statuses that mean closed."""


class TicketsSection(TenantSection):
    """Selection of the tickets to enhance."""

    only: dict[EventOrKind, frozenset[Name]] = {}
    """Which tickets are enhanced: lists of names by kind, `{ group = ["IT"] }`, where a kind is `event`, `category`,
    `group`, `site` or `template`. A ticket must have one of the names of each kind that is there."""
    never: dict[EventOrKind, frozenset[Name]] = {}
    """Which tickets are not, in the same form: one that has any of the names is left alone, e.g.
    `{ group = ["HR"], template = ["Dismissal"] }`."""


class ContextSection(TenantSection):
    """Selection of context for tickets."""

    within: dict[Kind, frozenset[Name]] = {}
    """Which tickets help only those of their own kind, in the same form without `event`: with
    `{ group = ["Finance"] }` what the group Finance has solved is shown to its own tickets alone."""
    never_topics: frozenset[Name] = frozenset()
    """Topics of solutions that are not used as context."""


class NoteSection(TenantSection):
    """Content and language of notes."""

    language: Literal["ticket", "en", "de", "fr", "es", "it", "nl", "pt"] = "ticket"
    """Language of the notes: `ticket`, that of each ticket; or one code."""
    rules: Annotated[str, Field(max_length=4000)] = ""
    """What the model is told besides: rules of the house, the tone."""
    if_nothing_found: bool = True
    """Where neither ticket nor document is like it: `true`, a note that says so; `false`, no note, and the model is
    not asked."""
    if_reopened: bool = True
    """`true`: a reopened ticket that has a note gets a further one."""
    prompt_tokens: Annotated[int, Field(ge=1000, le=9_999_999)] = 8000
    """Tokens that a ticket and what was found for it may have, for a model with a small window. What is least useful
    is cut."""


class OpenAISection(TenantSection):
    """The tenant's own model, and the spending limits of its jobs."""

    base_url: Address = ""
    """Where the tenant's tickets are sent instead of `OPENAI_BASE_URL`; needs a key of its own."""
    model: str = ""
    """The tenant's model, in place of `OPENAI_MODEL`."""
    daily_tokens: Annotated[int, Field(ge=1, le=999_999_999_999)] | None = None
    """Tokens a day (UTC) for the tenant's jobs; past it they wait for the next day."""
    daily_dollars: Annotated[float, Field(gt=0, lt=1_000_000)] | None = None
    """The same in dollars, of an endpoint that tells what each answer cost (OpenRouter)."""


class JobShare(TenantSection):
    """The tenant's share of the workers."""

    weight: Annotated[float, Field(ge=0.001, lt=1000)] = 1
    """How many tenants it counts as where jobs of several wait for a place in a worker, e.g. 3 or 0.5."""
    most_running: Count | None = None
    """Jobs of it in flight, in all workers together; the others wait, though places are free."""
    most_waiting: Count | None = None
    """Jobs of it that wait, for whatever it is; past that a webhook is answered 429, to be sent again later. Not
    looked at while Postgres is away."""


class TenantSettings(TenantSection):
    """Settings in one tenant's table of `tenants.toml`."""

    mode: Literal["live", "dry-run"] = "live"
    """`dry-run`: everything but the note; `ai-agents show` has what it would say."""
    masking: MaskingKind = "personal"
    """What is replaced by placeholders before a text goes to a model, and restored in the note: `personal`, names, mail
    addresses, telephone numbers, numbers of accounts and cards, ids and secrets; `all`, postal addresses, IP addresses
    and names of hosts as well; `none`."""
    reconcile: Literal["report", "on"] = "report"
    """What is done about a new ticket whose webhook never came: `report`, it is told; `on`, its job is made without it
    ([Reconcile](reconcile.md))."""
    audit_days: Annotated[int, Field(ge=0, le=3650)] = 0
    """Days for which a record is kept of each question: what the model was sent, as masked as it left, and what came
    ([why none by default](data.md#audit-records)). Where it is lowered, what is older by then goes."""
    webhook: WebhookSection = WebhookSection()
    servicedesk: ServiceDeskSection = ServiceDeskSection()
    tickets: TicketsSection = TicketsSection()
    context: ContextSection = ContextSection()
    note: NoteSection = NoteSection()
    openai: OpenAISection = OpenAISection()
    jobs: JobShare = JobShare()


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    for name, field in TenantSettings.model_fields.items():
        if isinstance(field.default, TenantSection):
            yield from ((f"{name}.{key}", inner) for key, inner in type(field.default).model_fields.items())
        else:
            yield name, field


FIELDS = dict(_fields())
"""Path below the tenant's table -> field."""
REMOVED = {path.replace(".", "_").upper(): path for path in FIELDS}
"""Variables (without suffix) of releases before `tenants.toml` -> path of their replacement."""
