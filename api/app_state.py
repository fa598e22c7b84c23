"""State of the API process."""

from dataclasses import dataclass, field

from api.causes import Explainer
from api.secret_uses import SecretUses
from api.webhook_refusals import RejectionRecorder
from config.tenant_directory import TenantDirectory
from dispatch.intake import Acceptance, Budget
from dispatch.queue import JobQueue
from storage.session import Database


@dataclass(frozen=True, slots=True)
class ApiState:
    """Resources of the API, at `request.app.state.api`."""

    tenants: TenantDirectory
    database: Database
    queue: JobQueue
    acceptance: Acceptance
    rejections: RejectionRecorder
    secret_uses: SecretUses
    sender_seconds: float
    explainer: Explainer = field(default_factory=Explainer)
    budget: Budget = field(default_factory=Budget)
