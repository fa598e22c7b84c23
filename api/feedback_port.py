"""The port of the page behind notes' links: the world may reach it, and it may not slow the webhooks' port.

It has connections of its own, to senders and to the database, and few of both.
"""

import contextlib
import socket
import time
from collections.abc import AsyncIterator

from api import probes
from api.head_refusals import CrowdLog, HeadRefused
from config.settings import ApiSettings
from config.tenant_directory import TenantDirectory
from feedback.app import create_app
from feedback.links import FeedbackLinks
from observability import phrases
from observability.logging import say
from serving.crowd import Crowd
from storage.session import Database

_SETTING = "FEEDBACK_PORT"
MOST_CONNECTIONS, _IN_A_RUSH = 64, 96
_DATABASE_CONNECTIONS = 2
_SECONDS = 3.0


class _PageCrowdLog(CrowdLog):
    """Nobody waits for what is no HTTP here, and no webhook is lost: of a crowd a line is enough."""

    def one_refused(self, refused: HeadRefused) -> None:
        """Say nothing."""

    def one_closed(self) -> None:
        """Say that a connection was closed for a newcomer."""
        if self.may_tell(phrases.FEEDBACK_CROWDED):
            say(phrases.FEEDBACK_CROWDED)

    def one_turned_away(self) -> None:
        """Say so of a newcomer that found no place."""
        self.one_closed()


def listen(settings: ApiSettings) -> socket.socket | None:
    """Take the port, if feedback is on. Raises SettingsRefused."""
    return None if FeedbackLinks.of(settings) is None else probes.listen(settings.feedback_port, _SETTING)


@contextlib.asynccontextmanager
async def serve(settings: ApiSettings, tenants: TenantDirectory, listener: socket.socket | None) -> AsyncIterator[None]:
    """Answer over the listener, if there is one."""
    links = FeedbackLinks.of(settings)
    if listener is None or links is None:
        yield
        return
    database = Database(
        settings.database_url,
        application_name="ai-agents feedback",
        pool_size=_DATABASE_CONNECTIONS,
        statement_seconds=_SECONDS,
        lock_seconds=_SECONDS,
        pool_seconds=_SECONDS,
    )
    shared = {"crowd": Crowd(MOST_CONNECTIONS, _IN_A_RUSH), "crowd_log": _PageCrowdLog(time.monotonic)}
    page = create_app(links, tenants, database)
    try:
        async with probes.serve(page, listener, settings.webhook_timeout_seconds, shared):
            yield
    finally:
        await database.close()
