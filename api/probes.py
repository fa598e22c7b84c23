"""The probes' port: health, metrics and documentation, where a flood at the webhook's port does not reach.

In the same process and event loop, since a liveness probe must see one that stands still; with connections of its own.
"""

import errno
import socket

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException

from api import health, metrics_route, webhook
from config.loading import SettingsRefused

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's own would take a stranger's `traceparent` for the parent of our trace, and export a second time."""


def listen(port: int, setting: str = "API_PROBE_PORT") -> socket.socket:
    """Take the port that a setting names, on all addresses, of IPv6 too; nothing is answered before `serve`.

    Raises SettingsRefused.
    """
    both = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)
    except OSError as failure:
        what = "is in use already" if failure.errno == errno.EADDRINUSE else "can't be listened on"
        raise SettingsRefused([f"{setting} is wrong: the port {what}"]) from failure


def create_probes(api: FastAPI) -> FastAPI:
    """What the port answers: the probes, `/metrics`, and what describes the API itself (`/docs`, `/openapi.json`)."""
    app = FastAPI(title=api.title, redoc_url=None, redirect_slashes=False, telemetry=NO_TELEMETRY)
    app.state = api.state
    app.add_exception_handler(HTTPException, webhook.refuse_address)
    app.include_router(health.probes)
    app.include_router(metrics_route.router)
    app.openapi = api.openapi  # type: ignore[method-assign]  # FastAPI's documented way
    return app
