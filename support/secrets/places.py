"""Places of webhook secrets: files of `SECRETS_DIR`, then the environment."""

from dataclasses import dataclass, field
from pathlib import Path

from config.secret_files import NOT_LISTED, UNREADABLE, unreadable
from config.tenant_directory import names_tenant, read_environment
from config.tenant_settings import setting_suffix
from storage.known_secrets import CURRENT, PREVIOUS, RETIRED, TOKEN


class PlacesUnusable(Exception):
    """A present secret can't be read and may not be replaced; the text has the fix."""


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """One setting by its full name; `secret` is empty if there is none.

    `in_environment`: this process's environment has a value, which is valid without a file.
    """

    name: str
    secret: str = field(repr=False)
    in_environment: bool


@dataclass(frozen=True, slots=True)
class SecretPlaces:
    """Places of one tenant's secrets."""

    current: SecretPlace
    previous: SecretPlace
    retired: SecretPlace
    token: SecretPlace
    tenant_known: bool
    """True if there is any setting of the tenant here."""

    @property
    def is_open(self) -> bool:
        """True while two secrets are valid.

        The same secret in both places is a rotation that was interrupted at its start.
        """
        return bool(self.previous.secret) and self.previous.secret != self.current.secret

    @property
    def secrets(self) -> dict[str, str]:
        """Secrets that are set, by setting without the tenant."""
        places = {CURRENT: self.current, PREVIOUS: self.previous, RETIRED: self.retired, TOKEN: self.token}
        return {setting: place.secret for setting, place in places.items() if place.secret}


def read_places(tenant_id: str, folder: Path | None) -> SecretPlaces:
    """Read the places; `folder` is `SECRETS_DIR`. Raises PlacesUnusable."""
    values, environment = read_environment(folder)(), read_environment(None)()
    if values.get("SECRETS_DIR") == UNREADABLE:
        raise PlacesUnusable(NOT_LISTED)

    def place(setting: str) -> SecretPlace:
        name = f"{setting}_{setting_suffix(tenant_id)}"
        secret = values.get(name, "")
        if secret == UNREADABLE:
            raise PlacesUnusable(unreadable(name))
        if folder is not None and (folder / name).is_file() and not (folder / name).read_bytes().strip():
            raise PlacesUnusable(f"{name}: its file is empty: somebody is writing it, or delete it")
        return SecretPlace(name, secret, bool(environment.get(name)))

    current, previous, retired, token = map(place, (CURRENT, PREVIOUS, RETIRED, TOKEN))
    return SecretPlaces(current, previous, retired, token, names_tenant(values, tenant_id))
