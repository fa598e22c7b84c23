"""Rotation steps as kubectl commands for a cluster; they contain no secret.

A rotation's commands verify that no other operator took the step meanwhile; all verify that there is a new secret.
"""

from enum import StrEnum

from config.tenant_settings import setting_suffix


class RotationStep(StrEnum):
    """Step of a rotation."""

    BEGIN = "begin"
    FINISH = "finish"
    LEAKED = "leaked"
    TOKEN = "token"  # noqa: S105 -- a word


_IN = "ai-agents-secrets -n ai-agents-production"
_GET = f"kubectl get secret {_IN} -o jsonpath='{{.data.@SETTING@}}'"
_PATCH = f"kubectl patch secret {_IN} --type merge --patch-file=/dev/stdin"
_NEW = "NEW=$(openssl rand -base64 32 | tr -d '\\n' | base64 -w 0)"
_SHOW = 'printf %s "$NEW" | base64 -d && echo'
_COMMANDS: dict[RotationStep, tuple[str, ...]] = {
    RotationStep.BEGIN: (
        f"OLD=$({_GET.replace('@SETTING@', 'WEBHOOK_SECRET_@NAME@')})",
        # An unknown state does not permit a rotation.
        f"OPEN=$({_GET.replace('@SETTING@', 'PREVIOUS_WEBHOOK_SECRET_@NAME@')}) || OLD=",
        _NEW,
        '[ -n "$OLD" ] && [ -n "$NEW" ] && { [ -z "$OPEN" ] || [ "$OPEN" = "$OLD" ]; } && '
        'printf \'{"data":{"PREVIOUS_WEBHOOK_SECRET_@NAME@":"%s",'
        f'"WEBHOOK_SECRET_@NAME@":"%s"}}}}\' "$OLD" "$NEW" | {_PATCH} && {_SHOW}',
    ),
    RotationStep.FINISH: (
        f"OLD=$({_GET.replace('@SETTING@', 'PREVIOUS_WEBHOOK_SECRET_@NAME@')})",
        '[ -n "$OLD" ] && printf \'{"data":{"RETIRED_WEBHOOK_SECRET_@NAME@":"%s",'
        f'"PREVIOUS_WEBHOOK_SECRET_@NAME@":null}}}}\' "$OLD" | {_PATCH}',
    ),
    RotationStep.LEAKED: (
        f"OLD=$({_GET.replace('@SETTING@', 'WEBHOOK_SECRET_@NAME@')})",
        _NEW,
        '[ -n "$NEW" ] && printf \'{"data":{"WEBHOOK_SECRET_@NAME@":"%s","PREVIOUS_WEBHOOK_SECRET_@NAME@":null,'
        f'"RETIRED_WEBHOOK_SECRET_@NAME@":"%s"}}}}\' "$NEW" "$OLD" | {_PATCH} && {_SHOW}',
    ),
    RotationStep.TOKEN: (
        _NEW,
        f'[ -n "$NEW" ] && printf \'{{"data":{{"WEBHOOK_TOKEN_@NAME@":"%s"}}}}\' "$NEW" | {_PATCH} && {_SHOW}',
    ),
}


def commands(step: RotationStep, tenant_id: str) -> list[str]:
    return [line.replace("@NAME@", setting_suffix(tenant_id)) for line in _COMMANDS[step]]
