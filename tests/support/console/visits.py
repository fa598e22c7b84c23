"""A visitor who asks for a page of the console, and the page as its template makes it."""

from collections.abc import Mapping

from redis.asyncio import Redis

from config.tenant_directory import TenantDirectory
from storage.session import Database
from support.check.settings import Loaded
from support.console.access.gate import OpenVisit
from support.console.access.sessions import Account, LoggedIn
from support.console.answers import Asked, GoTo, Handler, Page, Sources
from support.console.frame import Around, Frame
from support.console.places import PLACES
from support.console.visitor import Visitor
from support.diagnose.outside import LooksItself
from tests.kit.tenants_toml import given

SUPPORT = Visitor("ann", "support")
OPERATOR = Visitor("olga", "operator")
READER = Visitor("Rita Reader", "support", reads_texts=True, account="rita")
OF_ACME = Visitor("adam", "support", tenant_id="acme")
OF_GLOBEX = Visitor("gwen", "support", tenant_id="globex", reads_texts=True)
SETTINGS = {"WEBHOOK_SECRET_ACME": "a" * 32, "WEBHOOK_SECRET_GLOBEX": "g" * 32, "acme.audit_days": 30}
MISSED = (
    "INSERT INTO missing_webhooks (tenant_id, ticket_id, created_at, seen_at, tells_all, missed_at)"
    " SELECT 'acme', %s, m, m - interval '5 minutes', true, m FROM (SELECT now() - CAST(%s AS interval) AS m) t"
)
"""A ticket of acme whose webhook was missed so long ago."""
_FRAME = Frame(PLACES, secure=False)


class Visits:
    """Asks handlers with sources of a test, and renders what they answer."""

    def __init__(self, database: Database, redis: Redis, settings: Mapping[str, object] = SETTINGS) -> None:
        values = given(settings)
        directory = TenantDirectory(lambda: values)
        outside = LooksItself(directory, Loaded(None, None, None, None), redis)
        self.sources = Sources(database, redis, directory, outside, "http://jaeger.example")

    async def ask(self, handler: Handler, visitor: Visitor = SUPPORT, **parts: Mapping[str, str]) -> Page | GoTo:
        """Return what the handler answers; `parts` are path, query and form."""
        return await handler(Asked(visitor, self.sources, **parts))

    async def page(self, handler: Handler, visitor: Visitor = SUPPORT, **parts: Mapping[str, str]) -> Page:
        """Return the page that it answers with."""
        answer = await self.ask(handler, visitor, **parts)
        assert isinstance(answer, Page)
        return answer

    async def html(self, handler: Handler, visitor: Visitor = SUPPORT, **parts: Mapping[str, str]) -> str:
        """Return the page as it is sent."""
        return rendered(await self.page(handler, visitor, **parts), visitor)


def rendered(page: Page, visitor: Visitor = SUPPORT) -> str:
    """Return what the template makes of the page, in its frame."""
    session = LoggedIn("session", Account("token", visitor.name, "mark", visitor.name), 0, 0)
    around = Around("/", OpenVisit(visitor, session, "token"))
    return bytes(_FRAME.page(around, page.template, page.values, page.status).body).decode()
