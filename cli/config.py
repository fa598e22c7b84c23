"""`ai-agents config`: schema of `tenants.toml`, and migration of old variables."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Literal, get_args, get_origin

from config.exit_codes import CONFIGURATION_EXIT
from config.secret_files import UNREADABLE, secrets_dir, unreadable
from config.tenant_directory import read_environment
from config.tenant_validation import TenantsFileError, has_path, settings_of, tables_in
from config.tenants import FIELDS, KINDS, REMOVED, TENANTS_TOML, Names, by_tenant, fold, json_schema, setting_suffix

_WORDS = {"true": True, "write": True, "copy": True, "context": True, "false": False, "none": False}


def run(chosen: argparse.Namespace) -> int:
    """Print the schema or the migrated file; return 78 if the settings are wrong."""
    if chosen.what == "schema":
        print(json.dumps(json_schema(), indent=2))
        return 0
    text, problems = migrated(read_environment(secrets_dir())())
    print(text, end="")
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return CONFIGURATION_EXIT if problems else 0


def migrated(values: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the present file with the removed variables added, and the problems."""
    try:
        tables: dict[str, Any] = deepcopy(dict(tables_in(values.get(TENANTS_TOML, ""))))
    except TenantsFileError as unusable:
        return "", [str(unusable)]
    problems = [problem for tenant_id, table in tables.items() for problem in settings_of(tenant_id, table)[1]]
    if problems:
        return "", problems
    for tenant_id, variables in sorted(by_tenant(values).items()):
        table = tables.setdefault(tenant_id, {})
        for name in sorted(variables.keys() & REMOVED):
            setting, path = f"{name}_{setting_suffix(tenant_id)}", REMOVED[name]
            if variables[name] == UNREADABLE:
                problems.append(unreadable(setting))
            elif has_path(table, path):
                problems.append(f"{setting} and {tenant_id}.{path} in {TENANTS_TOML} are both set")
            else:
                *section, key = path.split(".")
                inner = table.setdefault(section[0], {}) if section else table
                try:
                    inner[key] = _value(FIELDS[path].annotation, variables[name])
                    if name == "NOTE_PROMPT_TOKENS":
                        inner[key] *= 4  # bytes a token
                except ValueError as failure:
                    problems.append(f"{setting} {failure}")
        problems += settings_of(tenant_id, table)[1]
    lines = [line for tenant_id, table in tables.items() if table for line in toml_lines(tenant_id, table)]
    return "\n".join(lines), problems


def _value(kind: object, text: str) -> object:
    """Return a variable's text as the file's value.

    Raises ValueError with a text that follows the variable's name.
    """
    origin, kinds = get_origin(kind), set(_types(kind))
    if origin is dict:
        return {name: sorted(names) for name, names in parse_names(text).items()}
    if origin in (tuple, frozenset):
        return [part.strip() for part in text.split(",") if part.strip()]
    if bool in kinds:
        return _WORDS.get(text.lower(), text)
    if kinds & {int, float}:
        try:
            return int(text) if int in kinds else float(text)
        except ValueError:
            raise ValueError("must be a number") from None
    return text.lower() if origin is Literal else text


def parse_names(text: str) -> Names:
    """Parse `KIND:NAME, KIND:NAME`. Raises ValueError."""
    names_by_kind: dict[str, set[str]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        kind, colon, name = map(fold, entry.partition(":"))
        if kind not in KINDS or not colon or not name:
            raise ValueError(f"must be KIND:NAME entries separated by commas; kinds are {', '.join(KINDS)}")
        names_by_kind.setdefault(kind, set()).add(name)
    return {kind: frozenset(names) for kind, names in names_by_kind.items()}


def _types(kind: object) -> Iterator[object]:
    yield kind
    for part in get_args(kind):
        yield from _types(part)


def toml_lines(path: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table as TOML: its own values, then its inner tables.

    JSON strings, numbers and lists are valid TOML.
    """
    # Below a section, lists of names by kind are written in one line.
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping) and "." not in path}
    yield f"[{path}]"
    for key, value in table.items():
        if key not in inner:
            yield f"{key} = {toml_value(value)}"
    yield ""
    for key, value in inner.items():
        yield from toml_lines(f"{path}.{key}", value)


def toml_value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml_value(names)}" for key, names in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
