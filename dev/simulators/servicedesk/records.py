"""A desk's records: tickets, notes, solutions. Times are epoch milliseconds."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeskUser:
    """A requester or a technician."""

    id: str
    name: str
    email_id: str


@dataclass(slots=True)
class Note:
    """A note on a ticket. `description` is HTML, stored as posted."""

    id: str
    description: str
    created_ms: int
    added_by: DeskUser
    show_to_requester: bool = False
    mark_first_response: bool = False
    add_to_linked_requests: bool = False
    notify_technician: bool = False


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail of a ticket's conversation; `text` is HTML."""

    id: str
    text: str
    sent_ms: int
    sent_by: DeskUser


@dataclass(frozen=True, slots=True)
class WorkLog:
    """A technician's record of work; `text` is HTML."""

    id: str
    text: str
    recorded_ms: int
    owner: DeskUser


@dataclass(frozen=True, slots=True)
class Resolution:
    """A ticket's resolution; `content` is HTML."""

    content: str
    submitted_ms: int
    submitted_by: DeskUser


@dataclass(slots=True)
class StoredSolution:
    """A knowledge base article; `description` is HTML."""

    id: str
    title: str
    description: str
    topic: str
    keywords: str
    is_public: bool
    approved: bool
    created_ms: int
    expiry_ms: int | None = None


@dataclass(slots=True)
class StoredTicket:
    """A ticket (the API's request). `in_progress` None: derived from the status."""

    id: str
    display_id: str
    subject: str
    description: str
    requester: DeskUser
    created_ms: int
    updated_ms: int
    status: str = "Open"
    priority: str | None = None
    category: str | None = None
    technician: DeskUser | None = None
    group: str | None = None
    site: str | None = None
    template: str = "Default Request"
    in_progress: bool | None = None
    is_trashed: bool = False
    completed_ms: int | None = None
    resolution: Resolution | None = None
    closure_comments: str | None = None
    merged_into: str | None = None
    notes: dict[str, Note] = field(default_factory=dict)
    mails: dict[str, Mail] = field(default_factory=dict)
    work_logs: list[WorkLog] = field(default_factory=list)
