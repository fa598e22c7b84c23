"""The first page: a search, and how the system is."""

from support.console.answers import Asked, Page


async def overview(asked: Asked) -> Page:
    """Show the first page."""
    return Page("overview.html", {"visitor": asked.visitor})
