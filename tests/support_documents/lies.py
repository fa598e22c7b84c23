"""Statements that are false, each in place of a true one of a document; each must be found."""

_README, _KUBERNETES, _DASHBOARDS = "README.md", "docs/kubernetes.md", "docs/dashboards.md"
_WEBHOOKS = "docs/runbooks/WEBHOOK_TROUBLESHOOTING_RUNBOOK.md"
_FAILURES, _QUEUE = "docs/runbooks/enhancement-failures.md", "docs/runbooks/high-queue-depth.md"
_FAQ = "docs/support/faq/faq-enhancements-not-received.md"

# What is between back quotes in documents for developers.
OF_NAMES = {
    "a line that there is not": (_README, "`Webhook received: ticket_id=124, tenant_id=acme`", "`Webhook accepted`"),
    "other words for a line": (_README, "`GPT-4 API call: status=200`", "`GPT-4 call status`"),
    "another end of a line": (_README, "`Breaker closed: desk of acme is back`", "`Breaker gone`"),
    "a span that there is not": (_README, "`Webhook`, `Queue`", "`Webhooks`, `Queue`"),
    "half a span": (_README, "`Context`, `GPT-4`", "`Context`, `GPT`"),
    "another span": (_README, "`ServiceDesk Update`", "`ServiceDesk Note`"),
    "a line in place of a span": (_README, "`Queue`, `Worker`", "`Webhook rejected`, `Worker`"),
    "a tag that there is not": (_README, "the tags `ticket_id`", "the tags `ticket_no`"),
    "a name of ours that is no tag": (_README, "the tags `ticket_id`", "the tags `trace_id`"),
    "half a header": (_README, "`X-ServiceDesk-Timestamp`", "`X-ServiceDesk-Time`"),
    "another failure": (_KUBERNETES, "`ServiceDesk Plus API timeout`", "`ServiceDesk Plus API too slow`"),
    "words in place of a number": (_FAQ, "`LangGraph workflow initiated`", "`attempt took very long`"),
    "any words in place of a number": (_FAQ, "`LangGraph workflow initiated`", "`attempt eaten by dragons`"),
}
# Numbers that are settings.
OF_SETTINGS = {
    "another time limit in a line": (_FAQ, "call failed: timeout after 30s", "call failed: timeout after 60s"),
    "another time limit of the context": (_FAQ, "gathering timeout after 30s", "gathering timeout after 90s"),
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
    "another share in words": (_DASHBOARDS, "over half of the calls", "over 60 % of the calls"),
    "another limit in a runbook": (_WEBHOOKS, "More than 5 webhooks", "More than 50 webhooks"),
    "another window in a runbook": (_WEBHOOKS, "not proved within 10 minutes", "not proved within 30 minutes"),
    "another share in a runbook": (_FAILURES, "Under 95 % of the jobs", "Under 80 % of the jobs"),
    "another time in a runbook": (_FAILURES, "have succeeded for 15 minutes", "have succeeded for 45 minutes"),
    "another age in a runbook": (_QUEUE, "has been due for over 5 minutes", "has been due for over 10 minutes"),
}

LIES = OF_NAMES | OF_SETTINGS | OF_PANELS | OF_ALERTS
