"""Where people open a ticket in a browser: docs/dev/outside.md has the addresses."""

from urllib.parse import quote, urlencode, urlsplit

from config.tenants import DeskSettings


def page_of(desk: DeskSettings, ticket_id: str) -> str:
    """Return the address of a ticket's page, by the desk's id; empty where it is not known."""
    if desk.edition == "cloud":
        return f"{desk.url}/ui/requests/{quote(ticket_id, safe='')}/details"
    if urlsplit(desk.url).path.strip("/"):
        # How a page is named below a portal's path was seen nowhere.
        return ""
    named = {"woMode": "viewWO", "woID": ticket_id} | ({"PORTALID": desk.portal_id} if desk.portal_id else {})
    return f"{desk.url}/WorkOrder.do?{urlencode(named)}"
