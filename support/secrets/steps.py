"""Writes of each step, in an order whose every intermediate state is valid."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from support.secrets.cluster import RotationStep
from support.secrets.places import SecretPlace, SecretPlaces
from support.secrets.writing import move, put, withdraw


def touched(step: RotationStep, places: SecretPlaces) -> tuple[SecretPlace, ...]:
    """Return the places that a step writes or reads."""
    if step is RotationStep.TOKEN:
        return (places.token,)
    return (places.current, places.previous, places.retired)


def writes(step: RotationStep, places: SecretPlaces, new: str) -> list[Callable[[Path], None]]:
    """Return the writes of a step in the directory, in order. Each raises OSError.

    A rotation interrupted at its start has the same secret in both places. No secret is in force and retired at once,
    which would close the tenant at the next start.
    """
    current, previous, retired = places.current, places.previous, places.retired
    new_one = partial(put, name=current.name, secret=new, like=current.name)
    match step:
        case RotationStep.BEGIN:
            return [partial(put, name=previous.name, secret=current.secret, like=current.name), new_one]
        case RotationStep.FINISH:
            return [partial(move, name=previous.name, to=retired.name)]
        case RotationStep.LEAKED:
            old = current.secret or previous.secret
            keep = partial(put, name=retired.name, secret=old, like=current.name)
            # A value in the environment stays valid: it may not be retired as well.
            goes_on = previous.in_environment and old == previous.secret
            return [partial(withdraw, name=previous.name), new_one, *([] if goes_on else [keep])]
        case RotationStep.TOKEN:
            return [partial(put, name=places.token.name, secret=new, like=places.token.name)]
