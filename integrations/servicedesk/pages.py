"""Browser URLs of tickets; docs/dev/outside.md has the formats."""

from urllib.parse import quote, urlencode, urlsplit

from config.tenants import DeskSettings


def page_of(desk: DeskSettings, ticket_id: str) -> str:
    """Return the URL of a ticket's page, by the desk's id; empty if unknown."""
    if desk.edition == "cloud":
        return f"{desk.url}/ui/requests/{quote(ticket_id, safe='')}/details"
    if urlsplit(desk.url).path.strip("/"):
        # The URL format below a portal's path is undocumented.
        return ""
    named = {"woMode": "viewWO", "woID": ticket_id} | ({"PORTALID": desk.portal_id} if desk.portal_id else {})
    return f"{desk.url}/WorkOrder.do?{urlencode(named)}"
