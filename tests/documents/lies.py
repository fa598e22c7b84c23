"""Statements that are false, each in place of a true one of a document; each must be found."""

_SLOW, _CRASHES = "docs/support/faq/faq-slow-enhancements.md", "docs/support/faq/troubleshooting-worker-crashes.md"
_ERRORS, _ROTATION = "docs/support/faq/troubleshooting-high-error-rate.md", "docs/runbooks/secret-rotation.md"
_SETTLES = "docs/adr/0004-a-note-of-unknown-outcome-settles.md"
_KUBERNETES, _DASHBOARDS = "docs/kubernetes.md", "docs/dashboards.md"
_OPERATING, _RUNNING = "docs/operating.md", "docs/running.md"
_SETTINGS, _WEBHOOK = "docs/settings.md", "docs/webhook.md"
_WEBHOOKS = "docs/runbooks/WEBHOOK_TROUBLESHOOTING_RUNBOOK.md"
_FAILURES, _QUEUE = "docs/runbooks/enhancement-failures.md", "docs/runbooks/high-queue-depth.md"
_FAQ = "docs/support/faq/faq-enhancements-not-received.md"

# What is between back quotes in documents for developers.
OF_NAMES = {
    "a line that there is not": (_OPERATING, "`Webhook received: ticket_id=124, tenant_id=acme`", "`Webhook accepted`"),
    "a command in place of a line": (_OPERATING, "| `GPT-4 API call: status=200` |", "| `retry --failed` |"),
    "other words for a line": (_OPERATING, "`GPT-4 API call: status=200`", "`GPT-4 call status`"),
    "another end of a line": (_OPERATING, "`Breaker closed: desk of acme is back`", "`Breaker gone`"),
    "a span that there is not": (_RUNNING, "`Webhook`, `Queue`", "`Webhooks`, `Queue`"),
    "half a span": (_RUNNING, "`Context`, `GPT-4`", "`Context`, `GPT`"),
    "another span": (_RUNNING, "`ServiceDesk Update`", "`ServiceDesk Note`"),
    "a line in place of a span": (_RUNNING, "`Queue`, `Worker`", "`Webhook rejected`, `Worker`"),
    "a tag that there is not": (_RUNNING, "the tags `ticket_id`", "the tags `ticket_no`"),
    "a name of ours that is no tag": (_RUNNING, "the tags `ticket_id`", "the tags `trace_id`"),
    "half a header": (_WEBHOOK, "`X-ServiceDesk-Timestamp`", "`X-ServiceDesk-Time`"),
    "another failure": (_KUBERNETES, "`ServiceDesk Plus API timeout`", "`ServiceDesk Plus API too slow`"),
    "another reason of an error": (
        _ERRORS,
        "`GPT-4 API call failed: timeout after 30s`",
        "`Database error: out of luck`",
    ),
    "another namespace": (_FAQ, "`kubectl get pods -n ai-agents-production | ", "`kubectl get pods -n ai-agents | "),
    "another cause": (_OPERATING, "`cause: retried by hand`", "`cause: retried by magic`"),
    "words in place of a number": (_FAQ, "`LangGraph workflow initiated`", "`attempt took very long`"),
    "any words in place of a number": (_FAQ, "`LangGraph workflow initiated`", "`attempt eaten by dragons`"),
}
# Numbers that are settings.
OF_SETTINGS = {
    "another time limit in a line": (_FAQ, "call failed: timeout after 30s", "call failed: timeout after 60s"),
    "another time limit of the context": (_FAQ, "gathering timeout after 30s", "gathering timeout after 90s"),
    "another time beside a setting": (
        _WEBHOOKS,
        "over 10 s for either (`WEBHOOK_T",
        "over 20 s for either (`WEBHOOK_T",
    ),
    "another deadline beside its setting": (_SLOW, "again for 30 minutes (`JOB_", "again for 99 minutes (`JOB_"),
    "another lease": (_CRASHES, "runs out within 45 s", "runs out within an hour"),
    "another number behind a setting": ("docs/containers.md", "SECONDS` (50)", "SECONDS` (500)"),
    "another default": (_SETTLES, "`NOTE_SETTLE_SECONDS`, 60", "`NOTE_SETTLE_SECONDS`, 90"),
    "another concurrency": ("docs/benchmarks.md", "`WORKER_CONCURRENCY` 128", "`WORKER_CONCURRENCY` 256"),
    "another silence of GPT-4": (_FAILURES, "30 s without content", "90 s without content"),
    "other attempts and another deadline": (_FAILURES, "8 attempts within 30 minutes", "20 attempts within 90 minutes"),
    "other attempts": (_OPERATING, "gave up after 8 attempts", "gave up after 9 attempts"),
    "another deadline": (_FAQ, "ended the job within 30 minutes", "ended the job within 60 minutes"),
    "another rest": (_OPERATING, "held back for 15s", "held back for 60s"),
    "another patience": (_FAQ, "up to 4 minutes an attempt", "up to 9 minutes an attempt"),
    "another rate": (_QUEUE, "the usual 300", "the usual 500"),
    "another time to read again": (_SETTINGS, "again every 5 seconds", "again every 50 seconds"),
    "another time until it counts": (_ROTATION, "counts 7 seconds later", "counts 70 seconds later"),
}

# Limits of the front door, and of what alerts ask for, elsewhere than in the alerts' own sections.
OF_LIMITS = {
    "another size of a body": (_WEBHOOKS, "over 64 KiB", "over 128 KiB"),
    "another size of a body, in the table": (_WEBHOOK, "more than 64 KiB", "more than 128 KiB"),
    "another size of headers": (_WEBHOOK, "more than 32 KiB", "more than 64 KiB"),
    "another window of the clock": (_WEBHOOKS, "clocks are over 300 s apart", "clocks are over 600 s apart"),
    "another window, in a sentence": (_WEBHOOK, "must be within 300 s", "must be within 600 s"),
    "another window, in minutes": (_FAQ, "off by over 5 minutes", "off by over 10 minutes"),
    "other connections": (_WEBHOOKS, "more than 500 connections", "more than 900 connections"),
    "other requests": (_WEBHOOK, "over 32 requests", "over 64 requests"),
    "another time for headers": (_WEBHOOK, "within 10 s each", "within 20 s each"),
    "another memory of duplicates": (_WEBHOOKS, "delivery within 10 minutes", "delivery within 30 minutes"),
    "an alert elsewhere": (_FAQ, "over 30 jobs for 5 minutes", "over 30 jobs for 15 minutes"),
    "an alert's share elsewhere": (_ERRORS, "success rate under 95 % for", "success rate under 85 % for"),
    "a panel's limit": (_QUEUE, "`Queue Depth` over 30,", "`Queue Depth` over 60,"),
    "a panel's limit in seconds": (
        _SLOW,
        "`p95 Enhancement Latency`: over 60 s",
        "`p95 Enhancement Latency`: over 90 s",
    ),
    "a panel's limit in words": (_SLOW, "`Oldest Job` over a minute", "`Oldest Job` over an hour"),
    "a panel's share": (_ERRORS, "`Error Rate`: over 5 %", "`Error Rate`: over 15 %"),
    "a panel's steps in a table": (_FAQ, "a number over 50 | high", "a number over 70 | high"),
    "a panel's steps, to go back": (_KUBERNETES, "the queue is under 20", "the queue is under 50"),
    "another slow desk": (_SLOW, "desk answers in over 2 s", "desk answers in over 20 s"),
    "another window of the dashboards": (_DASHBOARDS, "over, 10 minutes unless", "over, 5 minutes unless"),
    "a panel's steps": (_QUEUE, "50 to 100 high", "50 to 200 high"),
}

# Numbers of the manifests and of the command.
OF_THE_CLUSTER = {
    "other numbers of workers": (_KUBERNETES, "between 5 and 10 workers", "between 5 and 20 workers"),
    "other waiting jobs a worker": (_FAQ, "from 5 waiting jobs", "from 50 waiting jobs"),
    "another time to learn": (_KUBERNETES, "taking webhooks for 10 s", "taking webhooks for 60 s"),
    "another time to end": ("docs/containers.md", "the API within 20 s", "the API within 2 s"),
    "another port": ("docs/containers.md", "ready, at port 9464", "ready, at port 9090"),
    "another user": ("docs/containers.md", "as user 10001", "as user 1001"),
    "another Postgres": (_RUNNING, "Postgres 15 or later", "Postgres 13 or later"),
    "another length of a list": (_OPERATING, "lists the newest 50", "lists the newest 500"),
    "other digits": (_WEBHOOKS, "not 1 to 20 digits", "not 1 to 10 digits"),
    "another length of an id": (_SETTINGS, "and `-`, at most 63)", "and `-`, at most 36)"),
    "other memory": (_KUBERNETES, "is given 256 and may take 512", "is given 256 and may take 1024"),
}

OF_PANELS = {
    "a panel that there is not": (_DASHBOARDS, "5 minutes | Worker Health,", "5 minutes | Worker Wealth,"),
    "a panel that there is not, beside one": (_DASHBOARDS, "| External API Errors, Br", "| External API Faults, Br"),
    "a panel that there is not, last of several": (_DASHBOARDS, "Health, Throughput |", "Health, Put Through |"),
    "a panel that there is not, in the story": (_DASHBOARDS, "Reason, Error Rate,", "Reason, Mistake Rate,"),
    "a panel that there is not, in a sentence": (_DASHBOARDS, "globex in Success Rate by", "globex in Fail Rate by"),
}

# Numbers and times of alerts.
OF_ALERTS = {
    "another limit of an alert": (_DASHBOARDS, "over 30 jobs wait", "over 300 jobs wait"),
    "another time of an alert": (_DASHBOARDS, "jobs wait, for 5 minutes", "jobs wait, for 50 minutes"),
    "a window in place of its time": (_DASHBOARDS, "succeed, for 15 minutes", "succeed, for 10 minutes"),
    "a time in place of its window": (_DASHBOARDS, "none ends for 10 minutes", "none ends for 20 minutes"),
    "another number of failures": (_DASHBOARDS, "if two failed", "if three failed"),
    "another time in words": (_DASHBOARDS, "came round for a minute", "came round for an hour"),
    "the other direction": (_DASHBOARDS, "under 95 % of the jobs", "over 95 % of the jobs"),
    "another number in words": (_DASHBOARDS, "fail, and more than three do", "fail, and more than ten do"),
    "another number in a runbook": (_FAILURES, "and more than three (", "and more than two ("),
    "another window in a row": (_DASHBOARDS, "taken within 15 minutes", "taken within 50 minutes"),
    "another share in words": (_DASHBOARDS, "over half of the calls", "over 60 % of the calls"),
    "another limit in a runbook": (_WEBHOOKS, "More than 5 webhooks", "More than 50 webhooks"),
    "another window in a runbook": (_WEBHOOKS, "not proved within 10 minutes", "not proved within 30 minutes"),
    "another share in a runbook": (_FAILURES, "Under 95 % of the jobs", "Under 80 % of the jobs"),
    "another time in a runbook": (_FAILURES, "have succeeded for 15 minutes", "have succeeded for 45 minutes"),
    "another age in a runbook": (_QUEUE, "has been due for over 5 minutes", "has been due for over 10 minutes"),
}

# Statuses that processes end with.
OF_EXITS = {
    "an exit status of nobody's": (_KUBERNETES, "exit code 78", "exit code 77"),
    "an exit status of something else": (_KUBERNETES, "a worker with exit code 75", "a worker with exit code 78"),
    "another exit status of nobody's": (_CRASHES, "`Error`, 75", "`Error`, 76"),
    "a setting's exit status": (_CRASHES, "`Error`, 78", "`Error`, 75"),
    "a signal's exit status": (_CRASHES, "`OOMKilled`, 137", "`OOMKilled`, 143"),
    "a fault's exit status": (_CRASHES, "`Error`, 1 ", "`Error`, 3 "),
    "an exit status in brackets": ("docs/runbooks/worker-failures.md", "(exit status 78)", "(exit status 77)"),
    "an exit status at a list's beginning": ("docs/containers.md", "Exit status 78:", "Exit status 77:"),
    "an exit status in a list": ("docs/containers.md", "75: a server is away", "78: a server is away"),
    "a mistake's exit status": (_OPERATING, "70 a mistake of ours", "71 a mistake of ours"),
    "an exit status at a list's end": (_OPERATING, "78 something has", "79 something has"),
    "an exit status for another": (_OPERATING, "75 the database is away", "70 the database is away"),
}

LIES = OF_EXITS | OF_THE_CLUSTER | OF_NAMES | OF_SETTINGS | OF_LIMITS | OF_PANELS | OF_ALERTS
