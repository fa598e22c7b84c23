"""Tenants and model keys of a running process, read again every few seconds.

A new tenant or a rotated secret needs no restart. A changed file is applied when its write is complete
(`config.secret_files`).
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from config.secret_files import DIRECTORY, UNREADABLE, SecretFiles
from config.tenant_validation import Tables, TenantProblem, TenantsFileError, keys_after, tables_in, tenants_after
from config.tenants import ALL_KEYS, PROCESS_KEYS, SECRETS, TENANTS_TOML, Keys, Tenant, owner, secrets_in

_REREAD_SECONDS = 5.0


def read_environment(
    secrets_dir: Path | None,
    *,
    on_problem: Callable[[str], None] = lambda _: None,
    now: Callable[[], float] = time.time,
) -> Callable[[], Mapping[str, str]]:
    """Return a reader of tenants' settings and PROCESS_KEYS.

    Files override the environment. The value of TENANTS_TOML is the text of TENANTS_FILE. `on_problem` receives
    problems of changed files that are not applied. `now` is compared with the files' modification times.
    """
    files = SecretFiles(
        secrets_dir,
        group=lambda name: name if name in PROCESS_KEYS else owner(name)[1],
        secret=lambda name: name in PROCESS_KEYS or owner(name)[0] in SECRETS,
        on_problem=on_problem,
        now=now,
    )
    named = os.environ.get("TENANTS_FILE")
    path = Path(named) if named else None
    file = SecretFiles(
        path.parent if path else None,
        setting="TENANTS_FILE",
        group=lambda name: name if path is not None and name == path.name else "",
        secret=lambda _: False,
        on_problem=on_problem,
        now=now,
    )

    def read() -> Mapping[str, str]:
        of_file = {TENANTS_TOML: file.read().get(path.name, UNREADABLE)} if path else {}
        return files.over_environment() | of_file

    return read


def names_tenant(values: Mapping[str, str], tenant_id: str) -> bool:
    """Return True if `values` may contain a setting of the tenant.

    `values`: setting name -> value. Also True if some settings are unreadable.
    """
    try:
        tables = tables_in(values.get(TENANTS_TOML, ""))
    except TenantsFileError:
        return True
    names = {owner(name)[1] for name in values}
    return values.get(DIRECTORY) == UNREADABLE or tenant_id in tables or tenant_id in names


class TenantDirectory:
    """Configured tenants, including those with unusable settings; thread-safe.

    `problems` has the current problems; `on_problem` receives those that appear after the start. A tenant without the
    settings that this process `needs` is reported as closed. Keys of kinds outside `keys` are optional.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, str]],
        *,
        needs: Callable[[Tenant], bool] = lambda tenant: bool(tenant.accepts_webhooks or tenant.desk),
        keys: Keys = ALL_KEYS,
        on_problem: Callable[[TenantProblem], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._needs = needs
        self._keys_used = keys
        self._on_problem = on_problem
        self._monotonic = monotonic
        self._reading = threading.Lock()
        self._tenants: dict[str, Tenant] = {}
        self._keys: dict[str, str] = {}
        self._tables: Tables | None = None
        self.file_problem: str | None = None
        """Problem of `tenants.toml`: its last good version remains in force; without one, all tenants are closed."""
        self._values = read()
        self._tenants, self._keys, self.problems = self._parse(self._values)
        self._all: Sequence[Tenant] = list(self._tenants.values())
        self._read_at = monotonic()

    def get(self, tenant_id: str) -> Tenant | None:
        """Return the tenant by its current settings; None if it is unknown."""
        self._refresh()
        return self._tenants.get(tenant_id)

    def all(self) -> Sequence[Tenant]:
        """Return all tenants; the same object until a tenant or process key changes."""
        self._refresh()
        return self._all

    def names(self, tenant_id: str) -> bool:
        """Return True if the tenant may have a setting (`names_tenant`)."""
        self._refresh()
        return names_tenant(self._values, tenant_id)

    def process_key(self, name: str) -> str | None:
        """Return one of PROCESS_KEYS: empty if removed, None if never set."""
        self._refresh()
        return self._keys.get(name)

    def secrets(self) -> dict[tuple[str, str], str]:
        """Return the current secrets, also of closed tenants (`secrets_in`)."""
        self._refresh()
        return secrets_in(self._values)

    def unusable(self) -> dict[str, bool]:
        """Return tenant id -> True if its settings are unusable; "" for invalid ids."""
        found = {tenant.id: not tenant.usable for tenant in self.all()}
        return found | ({"": True} if any(problem.tenant_id not in found for problem in self.problems) else {})

    def _refresh(self) -> None:
        now = self._monotonic()
        if now - self._read_at < _REREAD_SECONDS or not self._reading.acquire(blocking=False):
            return
        try:
            self._read_at = now
            values = self._read()
            tenants, keys, problems = self._parse(values)
            fresh = [problem for problem in problems if problem not in self.problems]
            changed = (tenants, keys) != (self._tenants, self._keys)
            self._values, self._tenants, self._keys, self.problems = values, tenants, keys, problems
            if changed:
                self._all = list(tenants.values())
        finally:
            self._reading.release()
        for problem in fresh:
            self._on_problem(problem)

    def _parse(self, values: Mapping[str, str]) -> tuple[dict[str, Tenant], dict[str, str], list[TenantProblem]]:
        try:
            self._tables, self.file_problem = tables_in(values.get(TENANTS_TOML, "")), None
        except TenantsFileError as unusable:
            self.file_problem = str(unusable)
        tenants, problems = tenants_after(self._tenants, values, self._tables, self._keys_used)
        keys, key_problems = keys_after(self._keys, values)
        file_problems = [TenantProblem("", self.file_problem)] if self.file_problem is not None else []
        closed = {
            problem.tenant_id for problem in problems if not self._needs(tenants.get(problem.tenant_id, Tenant("")))
        }
        problems = [replace(problem, closed=problem.tenant_id in closed) for problem in problems]
        return tenants, keys, problems + key_problems + file_problems
