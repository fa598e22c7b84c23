"""What OpenAPI tells of a webhook and its answers; how a body is read is in `webhooks`."""

from pydantic import BaseModel, Field

from webhooks.fields import EVENT, TICKET_ID


class WebhookPayload(BaseModel):
    """The part of the body that the system reads; whatever else the desk's admin adds is ignored."""

    tenant_id: str = Field(description="The tenant, as in `WEBHOOK_SECRET_<TENANT>`.", examples=["acme"])
    ticket_id: str = Field(
        pattern=f"^{TICKET_ID.pattern}$", description="The ticket, as text or number.", examples=["12345"]
    )
    event: str | None = Field(
        None, pattern=f"^{EVENT.pattern}$", description="What happened.", examples=["ticket.created"]
    )


class Accepted(BaseModel):
    """The answer to a webhook that was taken."""

    job_id: str = Field(description="The job: its Celery task id and what the logs call it.")
    status: str = Field(description="`accepted`, or `duplicate` with the first job's id.")


class Checked(BaseModel):
    """The answer to a webhook that only asked whether it would be taken."""

    status: str = Field(description="`verified`")
    tenant_id: str


class Refused(BaseModel):
    """The answer to a webhook that was not taken."""

    detail: str
