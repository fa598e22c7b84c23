"""What a handler is asked with, and what it answers; `support.console.app` makes pages of that."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from redis.asyncio import Redis

from config.tenant_directory import TenantDirectory
from storage.session import Database
from support.console.visitor import Role, Visitor
from support.diagnose.outside import Outside


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom a handler may ask. `outside` looks at desk and model."""

    database: Database
    redis: Redis
    tenants: TenantDirectory
    outside: Outside
    jaeger_url: str | None = None
    job_deadline_seconds: int = 1800


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a visitor. `path`: the named parts of the address; `query` and `form`: one text a name."""

    visitor: Visitor
    sources: Sources
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """A template of `templates/` and its values; all of these are escaped."""

    template: str
    values: Mapping[str, object]
    status: int = 200


@dataclass(frozen=True, slots=True)
class GoTo:
    """Another page of the console, by its path with the query: after a change, or where a search has one answer."""

    path: str


class NotHere(Exception):
    """There is no such thing, or it is not the visitor's to know: both look alike."""


class NotUnderstood(Exception):
    """What was asked for can't be read; the text says why, for the visitor."""


class NotAllowed(Exception):
    """The visitor's role does not include it, and knows that there is such a thing; the text says what it takes."""


Handler = Callable[[Asked], Awaitable[Page | GoTo]]


@dataclass(frozen=True, slots=True)
class Place:
    """An address of the console. `path` as Starlette has it (`/jobs/{job_id}`); a POST changes something."""

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    least: Role = "support"
