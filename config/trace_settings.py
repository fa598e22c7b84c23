"""Where spans are kept on this machine."""

from pathlib import Path

from config.loading import LogSettings


class TraceFileSettings(LogSettings):
    """What each process needs that makes spans, or shows them."""

    traces_dir: Path | None = None
    """Directory in which each process keeps its spans, beside what goes to a collector: files of JSON, of which
    the oldest are deleted. `ai-agents trace` draws them."""
