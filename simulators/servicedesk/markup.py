"""The HTML of the desk's pages. Everything from outside goes through `_text` or into a sandboxed frame."""

from datetime import UTC, datetime
from html import escape

from simulators.servicedesk.desk import SimulatedDesk
from simulators.servicedesk.records import Note, StoredTicket
from simulators.servicedesk.shapes import CATEGORIES, PRIORITIES, is_in_progress
from simulators.servicedesk.webhooks import SentWebhook

REFRESH_SECONDS = 2
_STYLE = """
:root { color-scheme: light }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: #1c2733; background: #eef2f6 }
header { background: #12507b; color: #fff; padding: 14px 28px }
header a { color: #fff; text-decoration: none; font-weight: 600; font-size: 18px }
header span { opacity: .75; margin-left: 12px }
main { max-width: 1080px; margin: 24px auto; padding: 0 20px; display: grid; gap: 20px }
section { background: #fff; border: 1px solid #d7e0e8; border-radius: 8px; padding: 18px 22px }
h1 { font-size: 21px; margin: 0 0 4px; overflow-wrap: anywhere } h2 { font-size: 16px; margin: 0 0 12px }
table { width: 100%; border-collapse: collapse } th { text-align: left; font-size: 12px; color: #5b6b7a }
td, th { padding: 8px 10px; border-bottom: 1px solid #e8eef3 } td a { color: #12507b; font-weight: 600 }
td:nth-child(2) { overflow-wrap: anywhere }
.tag { display: inline-block; padding: 1px 9px; border-radius: 10px; font-size: 12px; background: #e4e9ee }
.open { background: #d5f0dd; color: #14613a } .bad { background: #fbdcdc; color: #8d1f1f }
.wait { background: #fff2cc; color: #735500 }
.meta { color: #5b6b7a; font-size: 13px; margin: 0 }
form { display: grid; gap: 10px } form.row { display: flex; gap: 8px; margin-top: 14px }
input, textarea, select { font: inherit; padding: 8px 10px; border: 1px solid #b9c6d2; border-radius: 6px }
textarea { min-height: 90px } .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 10px }
button { font: inherit; padding: 8px 16px; border: 0; border-radius: 6px; background: #12507b; color: #fff }
button { cursor: pointer; justify-self: start } button.quiet { background: #e4e9ee; color: #1c2733 }
iframe { width: 100%; border: 1px solid #e8eef3; border-radius: 6px; background: #fff }
.note + .note { margin-top: 16px }
"""
# The page's policy lets the frame go nowhere: a link opens a tab of its own, which knows nothing of this page.
_FRAME_HEAD = '<base target="_blank"><style>body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;margin:12px}</style>'
_FRAME_MAY = "allow-popups allow-popups-to-escape-sandbox"


def _text(value: str | None) -> str:
    """Return a value as text in HTML; control characters, which HTML has no place for, become marks."""
    shown = "".join(char if char >= " " or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in value or "")
    return escape(shown.encode("utf-8", "replace").decode(), quote=True)


def _page(title: str, body: str, *, refresh: bool = False) -> str:
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{again}<title>{_text(title)}</title>'
        f"<style>{_STYLE}</style></head><body><header><a href='/'>Service Desk</a>"
        f"<span>simulated ServiceDesk Plus</span></header><main>{body}</main></body></html>"
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %Y, %H:%M:%S UTC")


def _status_tag(ticket: StoredTicket) -> str:
    if ticket.is_trashed:
        return '<span class="tag bad">Trashed</span>'
    return f'<span class="tag {"open" if is_in_progress(ticket) else ""}">{_text(ticket.status)}</span>'


def _frame(markup: str) -> str:
    """Return HTML from outside in a frame without scripts, forms, origin or network; its links open in a new tab."""
    paragraphs = markup.count("<p") + markup.count("<br") + markup.count("<h")
    height = min(640, 64 + 36 * paragraphs + 24 * (markup.count("<li") + len(markup) // 120))
    inside = _text(_FRAME_HEAD + markup)
    return f'<iframe sandbox="{_FRAME_MAY}" referrerpolicy="no-referrer" height="{height}" srcdoc="{inside}"></iframe>'


def front_page(desks: list[SimulatedDesk]) -> str:
    """Return the list of desks."""
    rows = "".join(
        f"<tr><td><a href='/desks/{_text(desk.tenant)}'>{_text(desk.tenant)}</a></td>"
        f"<td>{_text(desk.settings.edition)}</td><td>{len(desk.tickets)}</td></tr>"
        for desk in desks
    )
    table = f"<table><tr><th>Desk</th><th>Edition</th><th>Tickets</th></tr>{rows}</table>"
    return _page("Desks", f"<section><h2>Desks</h2>{table}</section>")


def _choice(name: str, values: tuple[str, ...], chosen: str) -> str:
    options = "".join(f"<option{' selected' if value == chosen else ''}>{_text(value)}</option>" for value in values)
    return f"<select name='{name}' aria-label='{name}'>{options}</select>"


def _new_ticket_form(desk: SimulatedDesk) -> str:
    return (
        f"<section><h2>New ticket at {_text(desk.tenant)}</h2>"
        f"<form method='post' action='/desks/{_text(desk.tenant)}/tickets'>"
        "<input name='subject' required maxlength='250' placeholder='Subject' aria-label='Subject'>"
        "<textarea name='description' placeholder='What is the matter?' aria-label='Description'></textarea>"
        f"<div class='pair'>{_choice('priority', PRIORITIES, 'Normal')}"
        f"{_choice('category', CATEGORIES, 'General')}</div><button>Create ticket</button></form></section>"
    )


def desk_page(desk: SimulatedDesk) -> str:
    """Return the form for a new ticket and the list of tickets, newest first."""
    oldest_first = sorted(desk.tickets.values(), key=lambda ticket: ticket.created_ms)
    newest = oldest_first[-500:][::-1]  # of two in the same millisecond the later one comes first
    base = f"/desks/{_text(desk.tenant)}/tickets"
    rows = "".join(
        f"<tr><td><a href='{base}/{_text(ticket.id)}'>{_text(ticket.id)}</a></td>"
        f"<td>{_text(ticket.subject)}</td><td>{_status_tag(ticket)}</td><td>{_text(ticket.priority)}</td>"
        f"<td>{len(ticket.notes)}</td><td class='meta'>{_moment(ticket.created_ms / 1000)}</td></tr>"
        for ticket in newest
    )
    heads = "".join(f"<th>{head}</th>" for head in ("Id", "Subject", "Status", "Priority", "Notes", "Created"))
    tickets = f"<section><h2>Tickets</h2><table><tr>{heads}</tr>{rows}</table></section>"
    return _page(f"{desk.tenant} - tickets", _new_ticket_form(desk) + tickets)


def _delivery_line(delivery: SentWebhook | None) -> str:
    if delivery is None:
        return '<span class="tag">no webhook sent</span>'
    if delivery.error is not None:
        return f'<span class="tag bad">webhook failed</span> {_text(delivery.error)}'
    if delivery.status is None:
        return '<span class="tag wait">webhook under way</span>'
    kind = "open" if 200 <= delivery.status < 300 else "bad"
    return f'<span class="tag {kind}">webhook {delivery.status}</span> sent {_moment(delivery.time)}'


def _note(note: Note) -> str:
    audience = "shown to requester" if note.show_to_requester else "internal"
    return (
        f"<div class='note'><p class='meta'>{_text(note.added_by.name)}, {_moment(note.created_ms / 1000)}, "
        f"{audience}</p>{_frame(note.description)}</div>"
    )


def _buttons(desk: SimulatedDesk, ticket: StoredTicket) -> str:
    acts = ("close", "Close") if is_in_progress(ticket) else ("reopen", "Reopen")
    bin_act = ("restore", "Restore") if ticket.is_trashed else ("trash", "Move to trash")
    base = f"/desks/{_text(desk.tenant)}/tickets/{_text(ticket.id)}"
    buttons = "".join(
        f"<button class='quiet' formaction='{base}/{act}'>{label}</button>" for act, label in (acts, bin_act)
    )
    return f"<form class='row' method='post'>{buttons}</form>"


def ticket_page(desk: SimulatedDesk, ticket: StoredTicket, delivery: SentWebhook | None) -> str:
    """Return a ticket with its notes; the page reloads itself until an ongoing ticket has one."""
    waits = not ticket.notes and is_in_progress(ticket) and not ticket.is_trashed
    facts = " &middot; ".join(_text(fact) for fact in (ticket.requester.name, ticket.priority, ticket.category) if fact)
    about = (
        f"<section><h1>#{_text(ticket.id)} {_text(ticket.subject)}</h1>"
        f"<p class='meta'>{_status_tag(ticket)} {facts} &middot; {_moment(ticket.created_ms / 1000)}</p>"
        f"<p class='meta'>{_delivery_line(delivery)}</p>{_buttons(desk, ticket)}</section>"
        f"<section><h2>Description</h2>{_frame(ticket.description)}</section>"
    )
    notes = "".join(_note(note) for note in ticket.notes.values())
    nothing = "<p class='meta'>No notes yet; this page looks again every 2 seconds.</p>" if waits else ""
    resolution = (
        f"<section><h2>Resolution</h2>{_frame(ticket.resolution.content)}</section>" if ticket.resolution else ""
    )
    shown = notes or nothing or "<p class='meta'>No notes.</p>"
    body = f"{about}<section><h2>Notes</h2>{shown}</section>{resolution}"
    link = f"<p class='meta'><a href='/desks/{_text(desk.tenant)}'>All tickets of {_text(desk.tenant)}</a></p>"
    return _page(f"Ticket {ticket.id}", link + body, refresh=waits)
