"""Preconditions of a rotation step: its secrets exist and no webhook is lost."""

from config.exits import AWAY_EXIT, CONFIGURATION_EXIT, NOT_DONE_EXIT, NOT_UNDERSTOOD_EXIT
from support.secrets import asking, telling
from support.secrets.cluster import RotationStep
from support.secrets.places import SecretPlaces


class NotRotated(Exception):
    """Nothing was changed; `says` has reason and action, `status` the exit status."""

    def __init__(self, status: int, *says: str) -> None:
        super().__init__(says[0])
        self.status = status
        self.says = says


def insist_on_step(step: RotationStep, tenant_id: str, places: SecretPlaces) -> None:
    """Raise NotRotated if the state of the tenant's secrets does not permit the step."""
    if step is RotationStep.TOKEN:
        if not places.token.secret:
            raise NotRotated(NOT_UNDERSTOOD_EXIT, f"{places.token.name} is not set here.")
        return
    if not (places.current.secret or places.previous.secret):
        other = f": its webhooks bring a token, see `ai-agents secrets rotate --tenant {tenant_id} --secret token`"
        none = f": there is no setting of a tenant {tenant_id}" if not places.tenant_known else ""
        why = other if places.token.secret else none
        raise NotRotated(NOT_UNDERSTOOD_EXIT, f"{places.current.name} is not set here{why}.")
    if step is RotationStep.BEGIN and not places.current.secret:
        says = f"{places.current.name} is missing, but {places.previous.name} is set: put one there, or `--leaked`."
        raise NotRotated(CONFIGURATION_EXIT, says)
    if step is RotationStep.BEGIN and places.is_open:
        again = "It is not begun again: the old secret would end unannounced."
        end = f"Then {telling.FINISH.format(tenant=tenant_id)} ends the old one."
        lost = f"If the new one got lost: `ai-agents signing-kit --tenant {tenant_id} --form script --show-secret`."
        raise NotRotated(NOT_DONE_EXIT, *_how_it_stands(tenant_id, places), again, end, lost)
    if step is RotationStep.FINISH and not places.is_open:
        raise NotRotated(NOT_DONE_EXIT, f"No rotation of {tenant_id} is open: one secret is valid.")


def _how_it_stands(tenant_id: str, places: SecretPlaces) -> list[str]:
    try:
        uses = asking.uses_of(tenant_id, places)
    except asking.Untold as untold:
        return [telling.begun(places, {}), f"Who signs with which is not known: {untold}."]
    return [telling.begun(places, uses), *telling.who_signs(places, uses)]


def insist_on_no_variable(places: SecretPlaces) -> None:
    """Raise NotRotated if the old secret is in the environment.

    It would be valid again once its file is gone.
    """
    if places.previous.in_environment:
        name, kept = places.previous.name, f"keep it as {places.retired.name}"
        says = f"{name} stands in the environment: take it out there, {kept}, and restart the API, which ends it."
        raise NotRotated(CONFIGURATION_EXIT, says)


def insist_on_end(tenant_id: str, places: SecretPlaces, *, force: bool) -> list[str]:
    """Return the lines to print about ending the old secret.

    Raises NotRotated, without `force`, while it is used, the new one is unused, or the use is unknown.
    """
    try:
        uses = asking.uses_of(tenant_id, places)
    except asking.Untold as untold:
        if force:
            return [f"Forced: who signs with which is not known: {untold}."]
        says = f"Not ended: who signs with which is not known: {untold}. To end the old one all the same: --force."
        raise NotRotated(AWAY_EXIT, says) from None
    why = telling.why_not_ended(uses)
    if why and not force:
        raise NotRotated(
            NOT_DONE_EXIT,
            f"Not ended: {why}.",
            *telling.who_signs(places, uses),
            "Have the desk's admin set the new one, and try it; to end the old one all the same: --force.",
        )
    return [f"Forced: {why}."] if why else []
