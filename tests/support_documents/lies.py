"""Statements that are false, each in place of a true one of a document; each must be found."""

_README, _KUBERNETES = "README.md", "docs/kubernetes.md"
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

LIES = OF_NAMES | OF_SETTINGS
