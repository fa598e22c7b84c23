"""Settings of span files on this machine."""

from pathlib import Path

from config.loading import LogSettings


class TraceFileSettings(LogSettings):
    """Settings of processes that create or display spans."""

    traces_dir: Path | None = None
    """Directory in which each process keeps its spans, beside what goes to a collector: files of JSON, of which
    the oldest are deleted. `ai-agents trace` draws them."""
