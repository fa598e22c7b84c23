"""Texts about a tenant's secrets: uses and next steps; never a part of a secret."""

from collections.abc import Mapping
from datetime import timedelta

from storage.known_secrets import CURRENT, LATELY_HOURS, PREVIOUS, Remembered
from support.secrets.cluster import RotationStep
from support.secrets.places import SecretPlace, SecretPlaces
from support.tables import age

QUIET = timedelta(hours=LATELY_HOURS)
"""How long nobody may have signed with the old secret before it is ended without a word."""
STATUS = "`ai-agents secrets status --tenant {tenant}`"
FINISH = "`ai-agents secrets rotate --tenant {tenant} --finish`"


def used_lately(secret: Remembered | None) -> bool:
    if secret is None or secret.last_used_at is None:
        return False
    return secret.asked_at - secret.last_used_at < QUIET


def still_signs(old: Remembered | None, new: Remembered | None) -> bool:
    """Return True if the old secret signed within QUIET and since the new one exists."""
    is_later = (
        old is not None and old.last_used_at is not None and (new is None or old.last_used_at > new.first_seen_at)
    )
    return is_later and used_lately(old)


def why_not_ended(uses: Mapping[str, Remembered]) -> str:
    new, old = uses.get(CURRENT), uses.get(PREVIOUS)
    if still_signs(old, new):
        return "the old secret still signs webhooks"
    if new is None or new.last_used_at is None:
        return "nobody has signed with the new secret yet"
    return "the old secret has signed webhooks within a day" if used_lately(old) else ""


def last_used(secret: Remembered | None) -> str:
    if secret is None or secret.last_used_at is None:
        return "-"
    return f"{age((secret.asked_at - secret.last_used_at).total_seconds())} ago"


def who_signs(places: SecretPlaces, uses: Mapping[str, Remembered]) -> list[str]:
    return [
        _signs("the new one", places.current, uses.get(CURRENT)),
        _signs("the old one", places.previous, uses.get(PREVIOUS)),
    ]


def _signs(what: str, place: SecretPlace, secret: Remembered | None) -> str:
    if secret is None or secret.last_used_at is None:
        return f"{place.name} ({what}) has signed no webhook that we know of."
    many = f"{secret.uses} webhooks of the last {LATELY_HOURS} hours"
    return f"{place.name} ({what}) has signed {many}, the last one {last_used(secret)}."


def begun(places: SecretPlaces, uses: Mapping[str, Remembered]) -> str:
    new = uses.get(CURRENT)
    since = f" since {age((new.asked_at - new.first_seen_at).total_seconds())}" if new is not None else ""
    return f"A rotation is open{since}: {places.current.name} and {places.previous.name} are both valid."


def done(step: RotationStep, tenant_id: str, places: SecretPlaces) -> list[str]:
    new, old = places.current.name, places.previous.name
    status, finish = STATUS.format(tenant=tenant_id), FINISH.format(tenant=tenant_id)
    hand_over = "Give the new one to the desk's admin over a safe channel"
    match step:
        case RotationStep.BEGIN:
            return [
                f"Begun: {new} is new, the secret before is in {old}. Both count within seconds.",
                f"{hand_over}. {status} tells who signs with which; then {finish} ends the old one.",
            ]
        case RotationStep.FINISH:
            return [
                f"Ended: what was in {old} is in {places.retired.name} now, and refused within seconds.",
                f"A webhook that it signs is told of as `signed with the retired secret`, also by {status}.",
            ]
        case RotationStep.LEAKED:
            rest = "" if places.previous.in_environment else f", and no other secret signs for {tenant_id} any more"
            return [
                f"Ended at once: {new} is new{rest}, within seconds.",
                f"{hand_over}: until it is set there, their webhooks are refused.",
            ]
        case RotationStep.TOKEN:
            return [
                f"{places.token.name} is new; the token before is refused within seconds.",
                f"{hand_over}: until it is set there, their webhooks are refused.",
            ]


def would(step: RotationStep, tenant_id: str, places: SecretPlaces) -> str:
    match step:
        case RotationStep.BEGIN:
            return f"make a new webhook secret of {tenant_id}, and keep the one before as {places.previous.name}"
        case RotationStep.FINISH:
            return f"end the old webhook secret of {tenant_id}, and keep it as {places.retired.name}, never accepted"
        case RotationStep.LEAKED:
            both = "both webhook secrets" if places.is_open else "the webhook secret"
            return f"end {both} of {tenant_id} at once, and make a new one"
        case RotationStep.TOKEN:
            return f"end the token of {tenant_id} at once, and make a new one"


def without_a_cluster(step: RotationStep, places: SecretPlaces) -> str:
    current, previous, retired = places.current.name, places.previous.name, places.retired.name
    new = "a new one (`openssl rand -base64 32`)"
    what = {
        RotationStep.BEGIN: f"set {previous} to what {current} is, and {current} to {new}",
        RotationStep.FINISH: f"set {retired} to what {previous} is, and take {previous} out",
        RotationStep.LEAKED: f"set {retired} to what {current} is and {current} to {new}, and take {previous} out",
        RotationStep.TOKEN: f"set {places.token.name} to {new}",
    }
    return f"Where variables are all there is: {what[step]}; then start the processes anew. In a cluster:"


def left_in_environment(step: RotationStep, places: SecretPlaces) -> list[str]:
    """Return warnings for secrets that are valid again without their file.

    The environment has them too.
    """
    touched = (places.token,) if step is RotationStep.TOKEN else (places.current, places.previous)
    return [
        f"{place.name} stands in the environment here, too: its file goes before it. Take it out there, else what it "
        "says counts again when the file goes."
        for place in touched
        if place.in_environment and step is not RotationStep.FINISH
    ]
