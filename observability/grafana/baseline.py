"""`Baseline Metrics`: how well, how fast and how dear enhancements are, and for whom."""

from observability.grafana.panels import Panel, Query
from observability.grafana.queries import TENANT, ended, grown, quantile, share

_FAILURES, _SLOW = "enhancement-failures.md", "high-queue-depth.md"
_JOB_SECONDS, _COMPLETED = "ai_agents_job_duration_seconds", f'outcome="completed", {TENANT}'
_DONE = f"({grown(f'{_JOB_SECONDS}_count', _COMPLETED)} > 0)"
_COST, _TOKENS = "ai_agents_gpt4_cost_dollars_total", "ai_agents_gpt4_tokens_total"
_VOTES, _TAKEN_UP = "ai_agents_feedback_total", "ai_agents_note_taken_up_ratio"
_WROTE = "prompt, model"
_NO_COST = "the provider names no cost"


def _success(by: str = "", window: str = "$window") -> str:
    return f"{ended('completed', by, window)} / ({ended('completed|failed', by, window)} > 0)"


_QUALITY = (
    Panel(
        "Success Rate",
        "percentunit",
        (Query(_success(), "completed of completed and failed"),),
        "over 95 %, the target. Jobs count, not attempts; skipped jobs (the ticket is gone or closed) do not.",
        "under 95 % for 15 minutes an alert comes: Failures by Reason in the Operations Dashboard says why.",
        _FAILURES,
        limits=(0.95,),
        falling=True,
        likely=(0.8, 1),
        width=12,
        nothing="no job ended",
    ),
    Panel(
        "Success Rate in This Range",
        "percentunit",
        (Query(_success(window="$__range"), "of the whole range shown"),),
        "over 95 %.",
        "compare the tenants, and the reasons in the Operations Dashboard.",
        _FAILURES,
        limits=(0.95,),
        falling=True,
        kind="figure",
        width=4,
        nothing="no job ended",
    ),
    Panel(
        "Success Rate by Tenant",
        "percentunit",
        (Query(_success("tenant_id"), "{{tenant_id}}"),),
        "over 95 % for each.",
        "one tenant only: its desk, its key, its network. All of them: GPT-4 or us.",
        _FAILURES,
        limits=(0.95,),
        falling=True,
        likely=(0.8, 1),
        nothing="no job ended",
    ),
)

_SPEED = (
    Panel(
        "p95 Enhancement Latency",
        "s",
        tuple(Query(quantile(q, _JOB_SECONDS, _COMPLETED), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)),
        "p95 under 60 s, the target, from the webhook to the note; p50 about 45 s.",
        "Time in Queue (Operations Dashboard) is high: too few workers. It is not: Latency by Step says which step.",
        _SLOW,
        limits=(60,),
        width=12,
        nothing="no job was completed",
    ),
    Panel(
        "p95 Enhancement Latency by Tenant",
        "s",
        (Query(quantile(0.95, _JOB_SECONDS, _COMPLETED, "tenant_id"), "{{tenant_id}}"),),
        "under 60 s for each.",
        "one tenant only: its desk is slow, or its calls of a minute are used up (SERVICEDESK_RATE_PER_MINUTE).",
        _SLOW,
        limits=(60,),
        width=6,
        nothing="no job was completed",
    ),
    Panel(
        "Mean Time by Step",
        "s",
        (
            Query(
                'sum by (step) (rate(ai_agents_step_duration_seconds_sum{result="ok"}[$window])) '
                '/ sum by (step) (rate(ai_agents_step_duration_seconds_count{result="ok"}[$window]))',
                "{{step}}",
            ),
        ),
        "gpt4 about 30 s, the others within 2 s; waiting and retries make the rest of a job's 45 s.",
        "the step that grew is the one to look at.",
        _SLOW,
        width=6,
        logarithmic=True,
        nothing="no step ended",
    ),
)

_AMOUNT = (
    Panel(
        "Enhancements by Tenant",
        "short",
        (Query(ended("completed", "tenant_id"), "{{tenant_id}}"),),
        "each tenant's usual day. Counted over the window.",
        "a tenant at many times its usual floods the queue; the others are served all the same, a little later.",
        _SLOW,
        decimals=0,
    ),
    Panel(
        "Jobs by Outcome",
        "short",
        (Query(ended("completed|failed|skipped", "outcome"), "{{outcome}}"),),
        "nearly all completed, some skipped.",
        "many skipped: the client's rule sends webhooks of tickets that are closed or deleted soon.",
        _FAILURES,
        decimals=0,
    ),
    Panel(
        "Attempts per Job",
        "short",
        (
            Query(
                grown("ai_agents_job_attempts_total", f'result=~"completed|skipped|failed|retried", {TENANT}')
                + f" / ({ended('completed|failed|skipped')} > 0)",
                "attempts",
            ),
        ),
        "1, a little more when a server fails now and then.",
        "2 and more: most jobs succeed only by retries. See External API Errors before it becomes failures.",
        _FAILURES,
        limits=(1.5, 2),
        nothing="no job ended",
    ),
)

_COSTS = (
    Panel(
        "Cost per Enhancement",
        "currencyUSD",
        (Query(f"{grown(_COST, TENANT)} / {_DONE}", "a completed job"),),
        "steady. Only some providers name a cost (OpenRouter does, OpenAI does not).",
        "it rises: Tokens per Enhancement tells whether prompts or answers grew; else the price or the model changed.",
        _FAILURES,
        decimals=5,
        width=6,
        nothing=_NO_COST,
    ),
    Panel(
        "Cost by Tenant",
        "currencyUSD",
        (Query(grown(_COST, TENANT, "tenant_id"), "{{tenant_id}}"),),
        "in proportion to Enhancements by Tenant. Counted over the window.",
        "one tenant's rises alone: does it send more, or are its tickets longer?",
        _FAILURES,
        decimals=4,
        width=6,
        nothing=_NO_COST,
    ),
    Panel(
        "Tokens per Enhancement",
        "short",
        (Query(f"{grown(_TOKENS, TENANT, 'direction')} / on () group_left () {_DONE}", "{{direction}}"),),
        "steady; input is most of it: ticket, similar tickets, documents.",
        "input grew: longer tickets or more context. Both grew: answers are unusable and asked for again.",
        _FAILURES,
        width=6,
        decimals=0,
        nothing="no job was completed",
    ),
    Panel(
        "Tokens by Tenant and Model",
        "short",
        (Query(grown(_TOKENS, TENANT, "tenant_id, model"), "{{tenant_id}}, {{model}}"),),
        "in proportion to Enhancements by Tenant. Counted over the window, those of unusable answers too.",
        "one tenant's rises alone: see its number of enhancements, and Attempts per Job.",
        _FAILURES,
        width=6,
        decimals=0,
        nothing="nothing was paid for",
    ),
)

_USEFUL = (
    Panel(
        "Notes Found Useful",
        "percentunit",
        (
            Query(
                share(grown(_VOTES, f'vote="useful", {TENANT}', _WROTE), grown(_VOTES, TENANT, _WROTE)),
                "prompt {{prompt}}, {{model}}",
            ),
        ),
        "steady, or better with a new prompt. Of those who pressed a button behind the note, which few do.",
        "one prompt or model is worse than the one before: `ai-agents feedback` has the reasons. Few votes say little.",
        _FAILURES,
        likely=(0, 1),
        nothing="nobody voted",
    ),
    Panel(
        "Votes by Tenant",
        "short",
        (Query(grown(_VOTES, TENANT, "tenant_id, vote"), "{{tenant_id}}: {{vote}}"),),
        "some of each tenant, most of them useful. Counted over the window.",
        "one tenant finds notes useless: what is copied of its desk, and which of its tickets are enhanced?",
        _FAILURES,
        decimals=0,
        nothing="nobody voted",
    ),
    Panel(
        "Notes Taken Up",
        "percentunit",
        (
            Query(
                f"{grown(f'{_TAKEN_UP}_sum', TENANT, _WROTE)} / ({grown(f'{_TAKEN_UP}_count', TENANT, _WROTE)} > 0)",
                "prompt {{prompt}}, {{model}}",
            ),
        ),
        "steady: the mean share of a resolution's words that stood in the note's steps, of tickets that were closed.",
        "it fell with a prompt or a model: are its steps others than what technicians do? Words are compared, no more.",
        _FAILURES,
        likely=(0, 1),
        nothing="no ticket with a note was closed",
    ),
)

SECTIONS = (
    ("How well?", _QUALITY),
    ("How fast?", _SPEED),
    ("How many?", _AMOUNT),
    ("How dear?", _COSTS),
    ("How useful?", _USEFUL),
)
