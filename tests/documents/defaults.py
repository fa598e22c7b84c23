"""What the settings are when nobody sets them."""

from functools import cache

from config.settings import ApiSettings, HousekeepingSettings, WorkerSettings
from observability import phrases

_PROCESSES = (ApiSettings, HousekeepingSettings, WorkerSettings)


@cache
def of_settings() -> dict[str, float]:
    """Each setting that is a number, with its default."""
    fields = {name.upper(): field.default for process in _PROCESSES for name, field in process.model_fields.items()}
    return {name: float(default) for name, default in fields.items() if isinstance(default, (int, float))}


@cache
def texts() -> frozenset[str]:
    """The defaults, as text."""
    return frozenset(str(field.default) for process in _PROCESSES for field in process.model_fields.values())


@cache
def in_lines() -> dict[tuple[str, str], tuple[str, ...]]:
    """What stands in those places of log lines that are filled with a setting, by the line and the place's name."""
    settings = {
        phrases.CONTEXT_TIMEOUT: ("CONTEXT_TIMEOUT_SECONDS",),
        phrases.GPT4_TIMEOUT: ("OPENAI_TIMEOUT_SECONDS", "OPENAI_DEADLINE_SECONDS"),
    }
    return {
        (phrase.template, "seconds"): tuple(f"{of_settings()[name]:g}" for name in names)
        for phrase, names in settings.items()
    }
