"""Protection of tests from the settings in a developer's shell."""

from collections.abc import Iterator, MutableMapping

from config.settings import LogSettings
from config.tenants import owner
from console.access import ACCESS_SETTINGS

# Some machines need these to reach registry and desk.
_OF_THE_MACHINE = {"HTTPS_PROXY", "NO_PROXY"}


def take_out(environ: MutableMapping[str, str]) -> None:
    """Remove each setting of a process, of a tenant and of the console's login."""
    of_processes = {
        name.upper() for kind in settings_below(LogSettings) for name in kind.model_fields
    } - _OF_THE_MACHINE
    of_access = tuple(name.partition("<")[0] for name in ACCESS_SETTINGS)
    for name in [*environ]:
        # pydantic accepts lower case, too.
        if name.upper() in of_processes or name.startswith(of_access) or owner(name)[0]:
            del environ[name]


def settings_below(kind: type[LogSettings]) -> Iterator[type[LogSettings]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from settings_below(narrower)
