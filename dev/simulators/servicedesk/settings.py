"""Start-up settings of simulated desks."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Edition = Literal["onpremises", "cloud"]
RESERVED_NAMES = frozenset({"_sim", "api", "app", "desks", "oauth"})


class WebhookForm(BaseModel):
    """The desk's own unsigned webhook: fixed headers, and a text with `$` variables.

    Fields after https://manageengine.com/products/service-desk-msp/help/adminguide/integrations/webhooks.html ("Type
    $ to insert a variable"). The variables are in `dev.simulators.servicedesk.webhooks`.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    method: Literal["POST", "GET", "PUT", "PATCH", "DELETE"] = "POST"
    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    body: str = ""


class DeskOptions(BaseModel):
    """One tenant's desk.

    `rate_per_minute` null means no limit. `token_seconds` is the life of a cloud access token. `note_list_key` is the
    key of a list of notes (the cloud's is not documented). `note_key` is that of a note, if not the edition's: an older
    build on premises has the cloud's. `portal_id` makes a desk on premises one of several portals. It then answers only
    calls with its `portal` in the path, or with the header `PORTALID`.

    `webhook_on_update` sends a webhook at each change of a ticket, our own note included. A trigger may run on each
    edit of a request (https://help.supportcenterplus.com/portal/en/kb/articles/custom-triggers, "Every time a request
    is edited"). Whether a note is an edit is not documented, so it is one here. `webhook_form` and `trigger_command`
    replace our signing as on a real desk. `webhook_form` is its own webhook. `trigger_command` is a custom trigger, in
    which `$COMPLETE_V3_JSON_FILE` is a file with the ticket. The command precedes the form, the form `webhook_url`.

    `trashed_is_missing` answers 404 for a trashed ticket instead of `is_trashed: true`: both occur. `history` and
    `articles` are the numbers of tickets and solutions beside the seed, from the last `history_days`. Lists support
    everything by default. `list_order` other than `asked` ignores the sort field. `list_fields` and `list_criteria`
    false refuse `fields_required` and criteria of time, like an older build. `list_texts` false omits the texts of
    solutions. `same_page` always returns the first page. `forgets` is the share (0 to 1) of temporarily missing
    tickets. `clock_seconds` is the advance of its clock.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_key: str = ""
    edition: Edition = "onpremises"
    portal: str = "itdesk"
    portal_id: str = ""
    webhook_url: str | None = None
    webhook_secret: str = ""
    webhook_on_update: bool = False
    webhook_form: WebhookForm | None = None
    trigger_command: list[str] | None = None
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""
    grant_code: str = ""
    token_seconds: int = Field(default=3600, ge=1)
    rate_per_minute: int | None = Field(default=None, ge=1)
    note_list_key: str = "notes"
    note_key: Literal["note", "request_note"] | None = None
    trashed_is_missing: bool = False
    seeded: bool = True
    clock_seconds: int = 0
    history: int = Field(default=0, ge=0)
    history_days: int = Field(default=300, ge=1)
    articles: int = Field(default=0, ge=0)
    list_order: Literal["asked", "oldest first", "mixed"] = "asked"
    list_fields: bool = True
    list_criteria: bool = True
    list_texts: bool = True
    same_page: bool = False
    forgets: float = Field(default=0, ge=0, le=1)

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if self.edition == "onpremises" and not self.api_key:
            raise ValueError("an on-premises desk needs api_key")
        if self.edition == "cloud" and not (self.client_id and self.client_secret and self.refresh_token):
            raise ValueError("a cloud desk needs client_id, client_secret and refresh_token")
        return self


class DeskConfig(BaseModel):
    """All desks of one server by tenant id. Portals (by `PORTALID`) and the first are served at the root as well."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    desks: dict[str, DeskOptions] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for tenant in self.desks:
            if tenant in RESERVED_NAMES or "/" in tenant:
                raise ValueError(f"{tenant!r} cannot be the name of a desk here")
        return self
