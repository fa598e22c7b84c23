"""Public port of the feedback page, isolated from the webhooks' port.

It has its own small limits of connections, to clients and to the database.
"""

import contextlib
import socket
from collections.abc import AsyncIterator

from api import health
from api.feedback.app import create_app
from api.server import Crowd, Port
from api.server import serve as serve_port
from config.settings import ApiSettings
from config.tenant_directory import TenantDirectory
from db.session import Database
from jobs.feedback_links import FeedbackLinks
from observability import log_events

MOST_CONNECTIONS, _IN_A_RUSH = 64, 96
_DATABASE_CONNECTIONS = 2
_SECONDS = 3.0


def listen(settings: ApiSettings) -> socket.socket | None:
    return None if FeedbackLinks.of(settings) is None else health.listen(settings.feedback_port, "FEEDBACK_PORT")


@contextlib.asynccontextmanager
async def serve(settings: ApiSettings, tenants: TenantDirectory, listener: socket.socket | None) -> AsyncIterator[None]:
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
    # Malformed HTTP is not logged here: no webhook is lost.
    port = Port(settings.webhook_timeout_seconds, Crowd(MOST_CONNECTIONS, _IN_A_RUSH), log_events.FEEDBACK_CROWDED)
    page = create_app(links, tenants, database)
    try:
        async with serve_port(page, listener, port):
            yield
    finally:
        await database.close()
