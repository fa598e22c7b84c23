"""The settings that each tenant has, and whose a setting is by its name.

`<TENANT>` in a setting's name is the tenant id in capitals with `-` as `_`: `WEBHOOK_SECRET_ACME_EU` belongs to
`acme-eu`.
"""

from collections.abc import Collection, Mapping
from typing import Literal

TENANT_SETTINGS: dict[str, str] = {
    "WEBHOOK_SECRET_": "Secret that signs the tenant's webhooks.",
    "PREVIOUS_WEBHOOK_SECRET_": "The secret before, still accepted during a rotation.",
    "RETIRED_WEBHOOK_SECRET_": "A secret that is accepted no more: a webhook that it signs is refused, and the log "
    "says that it was this one.",
    "WEBHOOK_REQUIRE_TIMESTAMP_": "`true`: a signature without a signed timestamp is refused, so that nobody can "
    "send an old request again (GitHub's scheme has none); `false` (default).",
    "WEBHOOK_TOKEN_": "For a desk that can't sign: what it sends as `X-ServiceDesk-Token`; 32 characters at least. "
    "Unset (default), only signed webhooks are taken.",
    "WEBHOOK_MODE_": "`push` (default), or `poll` for a desk that can send no webhook: housekeeping looks for its new "
    "tickets instead, and no secret is needed ([Reconcile](reconcile.md#a-desk-that-can-send-no-webhook)).",
    "RECONCILE_": "What is done about a new ticket whose webhook never came: `report` (default), it is told; `on`, its "
    "job is made without it ([Reconcile](reconcile.md)).",
    "SERVICEDESK_URL_": "Address of the tenant's desk: what stands before `/api/v3` (cloud, and portals on premises: "
    "with `/app/<portal>`).",
    "SERVICEDESK_EDITION_": "`onpremises` (default) or `cloud`.",
    "SERVICEDESK_PORTAL_ID_": "On premises: sent as `PORTALID`, for a desk whose portal is chosen by that header.",
    "SERVICEDESK_API_KEY_": "On premises: the technician's API key.",
    "SERVICEDESK_CLIENT_ID_": "Cloud: OAuth client id.",
    "SERVICEDESK_CLIENT_SECRET_": "Cloud: OAuth client secret.",
    "SERVICEDESK_REFRESH_TOKEN_": "Cloud: OAuth refresh token.",
    "SERVICEDESK_ACCOUNTS_URL_": "Cloud: the accounts host that gives tokens, e.g. `https://accounts.zoho.eu`.",
    "SERVICEDESK_RATE_PER_MINUTE_": "Calls a minute that the desk takes, of all processes together: 60 on "
    "premises, 30 on cloud; from 1 on. Copying for context takes a third at most, and nothing while jobs wait for it.",
    "SERVICEDESK_FAILURE_NOTE_": "`context`: a ticket that GPT-4 fails for gets a short note with what was found; "
    "`none` (default).",
    "SERVICEDESK_HISTORY_DAYS_": "How far back its tickets are copied for context: 365 by default, from 1 on.",
    "SERVICEDESK_CONVERSATION_": "`copy`: what was said in a closed ticket is copied with it, its last ten mails, each "
    "a call of the desk; `none` (default).",
    "SERVICEDESK_EMBEDDINGS_": "By what its copies are found beside their words, other languages included: `local`, a "
    "small model in our own processes; `endpoint`, to which their texts are sent (`EMBEDDINGS_BASE_URL`); `none` "
    "(default).",
    "SERVICEDESK_LANGUAGES_": "Languages of its tickets and solutions, as codes separated by commas: "
    "`en,de,fr,es,it,nl,pt` (default), told apart text by text. Where all are in one, name that one: nothing is "
    "guessed then.",
    "SERVICEDESK_CLOSED_STATUSES_": "More names of statuses that mean closed, separated by commas.",
    "TICKETS_ONLY_": "Which tickets are enhanced: `KIND:NAME` entries separated by commas, where a kind is `event`, "
    "`category`, `group`, `site` or `template`. A ticket must have one of the names of each kind that is there. "
    "Unset: all.",
    "TICKETS_NEVER_": "Which tickets are not, in the same form: one that has any of the names is left alone, e.g. "
    "`group:HR, template:Dismissal`.",
    "CONTEXT_WITHIN_": "Which tickets help only those of their own kind, in the same form without `event`: with "
    "`group:Finance` what the group Finance has solved is shown to its own tickets alone.",
    "CONTEXT_NEVER_TOPICS_": "Topics of solutions that are not used as context, separated by commas.",
    "MODE_": "`live` (default), or `dry-run`: everything but the note; `ai-agents show` has what it would say.",
    "MASKING_": "What is replaced by placeholders before a text goes to a model, and restored in the note: `personal` "
    "(default), names, mail addresses, telephone numbers, numbers of accounts and cards, ids and secrets; `all`, "
    "postal addresses, IP addresses and names of hosts as well; `none`.",
    "NOTE_LANGUAGE_": "What notes are in: `ticket` (default), the language of each ticket; or one of `en`, `de`, `fr`, "
    "`es`, `it`, `nl`, `pt`.",
    "NOTE_RULES_": "What the model is told besides: rules of the house, the tone; 4000 characters at most. A file in "
    "`SECRETS_DIR` may have many lines.",
    "NOTE_IF_NOTHING_FOUND_": "Where neither ticket nor document is like it: `write` (default), a note that says so; "
    "`none`, no note, and the model is not asked.",
    "NOTE_IF_REOPENED_": "When a ticket that has a note is reopened: `write` (default), a further note; `none`.",
    "NOTE_PROMPT_TOKENS_": "Tokens that a ticket and what was found for it may have: 8000 (default), from 1000 on; "
    "for a model with a small window. What is least useful is cut.",
    "AUDIT_DAYS_": "Days for which a record is kept of each question: what the model was sent, as masked as it left, "
    "and what came ([why none by default](data.md#audit-records)). 0 (default) keeps none; 3650 at most. Where it is "
    "lowered, what is older by then goes.",
    "OPENAI_API_KEY_": "The tenant's own key for the model, in place of `OPENAI_API_KEY`.",
    "OPENAI_BASE_URL_": "Where the tenant's tickets are sent instead of `OPENAI_BASE_URL`; needs a key of its own.",
    "OPENAI_MODEL_": "The tenant's model, in place of `OPENAI_MODEL`.",
    "OPENAI_DAILY_TOKENS_": "Tokens a day (UTC) for the tenant's jobs; past it they wait for the next day.",
    "OPENAI_DAILY_DOLLARS_": "The same in dollars, of an endpoint that tells what each answer cost (OpenRouter).",
    "JOBS_WEIGHT_": "How many tenants it counts as where jobs of several wait for a place in a worker: 1 (default), or "
    "another number like 3 or 0.5.",
    "JOBS_MOST_RUNNING_": "Jobs of it in flight, in all workers together; the others wait, though places are free.",
    "JOBS_MOST_WAITING_": "Jobs of it that wait, for whatever it is; past that a webhook is answered 429, to be sent "
    "again later. Not looked at while Postgres is away.",
}
SECRETS = (
    "WEBHOOK_SECRET",
    "PREVIOUS_WEBHOOK_SECRET",
    "WEBHOOK_TOKEN",
    "SERVICEDESK_API_KEY",
    "SERVICEDESK_CLIENT_SECRET",
    "SERVICEDESK_REFRESH_TOKEN",
    "OPENAI_API_KEY",
)
"""Those that are withdrawn by nothing but deletion. Not a retired one: it opens nothing."""
DESK_KEYS = tuple(name for name in SECRETS if name.startswith("SERVICEDESK_"))
MODEL_KEYS = tuple(name for name in SECRETS if name.startswith("OPENAI_"))
Keys = Collection[Literal["desk", "model"]]
ALL_KEYS: Keys = ("desk", "model")
"""The kinds of tenants' keys that a process may use. The keys of other kinds may be missing where it runs."""
# Settings of a process whose names begin like one of a tenant.
_OF_PROCESSES = ("RECONCILE_INTERVAL_SECONDS", "RECONCILE_WINDOW_HOURS")
# Any other only says how something is done for a tenant that there is: alone it may be somebody else's variable.
_MAKE_A_TENANT = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "WEBHOOK_TOKEN", "SERVICEDESK_")


def owner(name: str) -> tuple[str, str]:
    """Return which setting of which tenant a name is; two empty texts for a setting of no tenant."""
    if name in _OF_PROCESSES:
        return "", ""
    # Longest first: no name may be taken for another one that is its beginning.
    for prefix in sorted(TENANT_SETTINGS, key=len, reverse=True):
        if name.startswith(prefix) and len(name) > len(prefix):
            return prefix.rstrip("_"), name.removeprefix(prefix).lower().replace("_", "-")
    return "", ""


def setting_suffix(tenant_id: str) -> str:
    """Return what the names of a tenant's settings end in: `ACME_EU` for `acme-eu`."""
    return tenant_id.upper().replace("-", "_")


def by_tenant(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return tenant id -> setting without the tenant -> value, of all that make a tenant."""
    found: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        setting, tenant_id = owner(name)
        if tenant_id:
            found.setdefault(tenant_id, {})[setting] = value
    return {
        tenant_id: settings
        for tenant_id, settings in found.items()
        if any(setting.startswith(_MAKE_A_TENANT) for setting in settings)
    }
