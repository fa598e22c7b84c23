"""Required settings of `ai-agents diagnose` and `trace`; others are optional."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from config.settings import ByHandSettings
from config.trace_settings import TraceFileSettings
from config.urls import HttpUrl


def _without_user(url: str) -> str:
    if "@" in urlsplit(url).netloc:
        raise ValueError("must have no user and no password: links are printed with it")
    return url


class DiagnoseSettings(ByHandSettings):
    """Settings of `ai-agents diagnose`."""

    jaeger_url: Annotated[HttpUrl, AfterValidator(_without_user)] | None = None
    """Where people open traces, as `http://localhost:16686`: `diagnose` links a job's from there."""


class TraceSettings(TraceFileSettings, ByHandSettings):
    """Settings of `ai-agents trace` when it queries the database."""
