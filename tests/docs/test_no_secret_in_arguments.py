"""No password on a command line in deployments or documents.

Every user of a machine can read process arguments, but not environments, files and pipes.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "k8s", "dev/stack", "observability", "cli")
FILES = ("README.md", "Dockerfile", "docker-compose.yml", "Makefile", ".env.example")
# Options and forms that take a secret as an argument.
FORBIDDEN = {
    "a server's password": r"--(?:requirepass|masterauth)\b",
    "redis-cli's password": r"redis-cli\b[^|\n]*\s(?:-a|--pass|-u|--user)\s",
    "an address of psql": r"(?<!ai-agents )psql\s+(?:-d\s+|--dbname[= ])?\\?[\"']?(?:\\?\$\{?\w*URL|postgres\w*://[^\s/]*:[^\s@/]+@)",
    "a password in SQL": r"psql\b[^|\n]*-c[^|\n]*PASSWORD '",
    "a user's password of Redis": r"redis-cli\b[^|\n]*SETUSER[^|\n]*>",
    "a variable for one command in a shell": r"sh -c \S*\"[^\n]*(?:REDISCLI_AUTH|PGPASSWORD)=\\?\$",
    "kubectl's literals": r"--from-literal|--docker-password\b",
    "a patch with a value": r"kubectl patch secret[^\n]*-p "
    r"(?![^\n]*RATE_PER_MINUTE)(?:[^\n]*\$(?:NEW|OLD|VALUE)|(?![^\n]*null))",
    "a header of curl": r"-H \"(?:authtoken|Authorization|X-ServiceDesk-Token)",
    "openssl's key": r"openssl\b[^|\n]*\s-(?:hmac|macopt)\b",
    "curl's user": r"curl\b[^|\n]*\s(?:-u|--user)\s",
    "docker's password": r"docker login[^\n]*(?:\s-p\s|--password[ =])",
}
SAMPLES = {
    "a server's password": "command: [redis-server, --requirepass, $(REDISCLI_AUTH)]",
    "redis-cli's password": "redis-cli -h redis -a secret PING",
    "an address of psql": 'sh -c \'psql "$DATABASE_URL" -c "SELECT 1;"\'',
    "a password in SQL": "psql -c \"ALTER ROLE x PASSWORD '$NEW'\"",
    "a user's password of Redis": 'redis-cli ACL SETUSER default ">$NEW"',
    "a variable for one command in a shell": 'exec pod -- sh -c "REDISCLI_AUTH=$OLD redis-cli PING"',
    "kubectl's literals": "kubectl create secret generic x --from-literal=KEY=value",
    "a patch with a value": 'kubectl patch secret x --type merge -p "{\\"data\\":{\\"KEY\\":\\"$VALUE\\"}}"',
    "a header of curl": 'curl -H "authtoken: $KEY" "$DESK"',
    "openssl's key": 'openssl dgst -sha256 -hmac "$SECRET"',
    "curl's user": "curl -u admin:secret http://localhost",
    "docker's password": "docker login --password secret registry.example.com",
}


def given() -> list[Path]:
    inside = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
    texts = {".md", ".yaml", ".yml", ".env", ".conf", ".sql", ".py", ".json", ".txt"}
    return [path for path in inside if path.suffix in texts] + [ROOT / name for name in FILES]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_command_line_has(what: str) -> None:
    assert re.search(FORBIDDEN[what], SAMPLES[what])
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()[:120]}"
        for path in given()
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(FORBIDDEN[what], line)
    ]
    assert found == []
