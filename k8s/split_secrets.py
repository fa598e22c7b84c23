"""Split the secret of an earlier release: `kubectl get secret NAME -o json | python3 k8s/split_secrets.py`.

Writes `split.json`, the new secrets and the ConfigMap, and `moved.json`, the patch that removes their keys from the old
secret. docs/kubernetes.md has the steps.
"""

import base64
import json
import os
import re
import sys

NAMESPACE = "ai-agents-production"
SECRETS = {
    "ai-agents-desk-secrets": r"SERVICEDESK_(API_KEY|CLIENT_ID|CLIENT_SECRET|REFRESH_TOKEN)_.+|HTTPS_PROXY",
    "ai-agents-model-secrets": r"OPENAI_(FALLBACK_)?API_KEY(_.+)?|EMBEDDINGS_API_KEY",
    "ai-agents-console-secrets": r"CONSOLE_.+|HTTPS_PROXY",
}
TENANTS = (
    r"(SERVICEDESK|TICKETS|CONTEXT|MODE|MASKING|NOTE|AUDIT_DAYS|JOBS|RECONCILE|WEBHOOK_MODE|WEBHOOK_REQUIRE_TIMESTAMP"
    r"|OPENAI_BASE_URL|OPENAI_MODEL|OPENAI_DAILY_TOKENS|OPENAI_DAILY_DOLLARS)_.+"
)

# What is no longer read as a variable goes into it: `ai-agents config migrate` prints that.
FILE = {"tenants.toml": "# See docs/settings.md.\n"}


def main() -> None:
    """Read the old secret from standard input and write the two files."""
    old: dict[str, str] = json.load(sys.stdin)["data"]
    made = {name: {key: old[key] for key in old if re.fullmatch(keys, key)} for name, keys in SECRETS.items()}
    secrets = {key for data in made.values() for key in data}
    settings = [key for key in old if key not in secrets and re.fullmatch(TENANTS, key)]
    items = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}
        for name, data in made.items()
    ]
    plain = {key: base64.b64decode(old[key]).decode() for key in settings}
    metadata = {"name": "ai-agents-tenants", "namespace": NAMESPACE}
    items.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": plain | FILE})
    write("split.json", {"apiVersion": "v1", "kind": "List", "items": items})
    write("moved.json", {"data": dict.fromkeys([*sorted(secrets), *settings])})


def write(path: str, content: object) -> None:
    """Write a file that its owner alone can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)


if __name__ == "__main__":
    main()
