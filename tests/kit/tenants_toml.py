"""`tenants.toml` in the values from which tenants are read."""

from collections.abc import Mapping

from config.tenants import TENANTS_TOML
from dev.stack.environment import toml_of


def filed(values: Mapping[str, str], keys: Mapping[str, object]) -> dict[str, str]:
    """Return `values` with these keys of the file changed; None removes one."""
    lines = dict(line.split(" = ", 1) for line in values.get(TENANTS_TOML, "").splitlines() if not line.startswith("#"))
    text = toml_of({path: value for path, value in keys.items() if value is not None})
    new = dict(line.split(" = ", 1) for line in text.splitlines())
    kept = {path: value for path, value in lines.items() if path not in keys} | new
    return dict(values) | {TENANTS_TOML: "".join(f"{path} = {value}\n" for path, value in kept.items())}


def given(values: Mapping[str, object]) -> dict[str, str]:
    """Return variables unchanged, and dotted names as keys of the file."""
    keys = {name: value for name, value in values.items() if "." in name and name != TENANTS_TOML}
    return filed({name: str(value) for name, value in values.items() if name not in keys}, keys)
