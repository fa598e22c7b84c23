"""Loading of process settings from files in `SECRETS_DIR`, then the environment."""

import os
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class SettingsRefused(Exception):
    """Settings that prevent a start. `problems`: one sentence per setting, without its value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _SecretFiles(PydanticBaseSettingsSource):
    """Files of `SECRETS_DIR` named like a setting. Empty files count as unset, like empty variables."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return the text of the setting's file, or None. Raises SettingsRefused."""
        folder = os.environ.get("SECRETS_DIR")
        path = Path(folder or "") / field_name.upper()
        try:
            if not folder or not path.is_file():
                return None, field_name, False
            return path.read_text(encoding="utf-8").strip() or None, field_name, False
        except (OSError, UnicodeDecodeError):
            raise SettingsRefused([f"{field_name.upper()} is wrong: its file can't be read as text"]) from None

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class LogSettings(BaseSettings):
    """Settings that every process needs for its log lines."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        hide_input_in_errors=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    log_format: Literal["text", "json"] = "text"
    """Format of the log lines."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least level of the lines; lines that the FAQ promises are printed at any level."""
    secrets_dir: Path | None = None
    """Directory with one file a setting, named like it; wins over the environment."""
    tenants_file: Path | None = None
    """`tenants.toml`: what tenants have beside addresses and secrets ([settings of a tenant](#settings-of-a-tenant)).
    Read again while a process runs."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- there is no .env file, by design
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- replaced by _SecretFiles
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources by precedence: files, environment, caller's defaults."""
        return _SecretFiles(settings_cls), env_settings, init_settings


ProcessSettings = TypeVar("ProcessSettings", bound=LogSettings)


def load(kind: type[ProcessSettings], **defaults: Any) -> ProcessSettings:
    """Load the settings of one process; `defaults` replace unset ones.

    Raises SettingsRefused with one sentence per missing or wrong setting.
    """
    problems: list[str] = []
    folder = os.environ.get("SECRETS_DIR")
    if folder and not os.path.isdir(folder):  # noqa: PTH112 -- pathlib's version raises without permission
        problems.append("SECRETS_DIR is not a directory")
    try:
        settings = kind(**defaults)
    except ValidationError as failure:
        problems += [_sentence(dict(problem)) for problem in failure.errors()]
    except SettingsRefused as refused:
        problems += refused.problems
    else:
        if not problems:
            return settings
    raise SettingsRefused(problems)


def _sentence(problem: dict[str, object]) -> str:
    """Format a pydantic problem without the value, which may be a secret."""
    location = problem["loc"]
    name = str(location[0]).upper() if isinstance(location, tuple) and location else "settings"
    if problem["type"] == "missing":
        return f"{name} is missing"
    what = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name} is wrong: {what[0].lower()}{what[1:]}"
