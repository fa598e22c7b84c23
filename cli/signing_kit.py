"""`ai-agents signing-kit`: webhook texts to paste into a desk; needs no server.

Templates are in `cli/kit/`. `@URL@` and the like are filled in, `@FILE name@` is another file of that folder.
"""

import argparse
import re
import sys
from importlib import resources

from config.addresses import address_problem
from config.secret_files import secrets_dir
from config.tenant_directory import read_environment
from config.tenant_validation import parse_tenants
from config.tenants import Tenant, setting_suffix

ADDRESS_PLACE = "https://PASTE-THE-ADDRESS/webhook"
SECRET_PLACE = "PASTE-THE-SECRET"  # noqa: S105 -- the opposite of one
TOKEN_PLACE = "PASTE-THE-TOKEN"  # noqa: S105
_FILE = re.compile(r"@FILE (\S+)@\n")
_ASKED = re.compile(r"\$Secret = .*Read-Host.*\n")
# Characters that are literal between the quotes of Python, PowerShell, Deluge and a shell.
_PLAIN = re.compile(r"[!#%&()*+,./0-9:;<=>?@A-Z\[\]^_a-z{|}~-]+")


def run(chosen: argparse.Namespace) -> int:
    """Print the kit; return 0. Problems with the secret go to standard error."""
    secret = None
    if chosen.show_secret:
        secret, problem = _secret(chosen.tenant, chosen.form)
        if problem:
            print(problem, file=sys.stderr)
    url = chosen.url or ADDRESS_PLACE
    if url.startswith("http:") and address_problem(url, secure=True):
        why = "on the network, ticket ids could be read and webhooks withheld (the secret is not sent)"
        if chosen.form == "token":
            why = "on the network, the token itself could be read and used to send webhooks of this tenant"
        print(f"--url must begin with https://: {why}.", file=sys.stderr)
    print(kit(chosen.form, chosen.tenant, url, secret), end="")
    return 0


def kit(form: str, tenant_id: str, url: str, secret: str | None) -> str:
    word, place = ("TOKEN", TOKEN_PLACE) if form == "token" else ("SECRET", SECRET_PLACE)
    probe = _read("probe_token.txt" if form == "token" else "probe_signed.txt")
    powershell = _read("probe_powershell.txt")
    if secret is not None:
        probe = probe.replace(f"read -rs {word}\n", f"{word}='@SECRET@'\n")
        powershell = _ASKED.sub("$Secret = '@SECRET@'\n", powershell)
    text = _FILE.sub(lambda match: _read(match[1]), _read(f"{form}.txt"))
    text = text.replace("@PROBE@\n", f"{probe}\n").replace("@POWERSHELL@\n", f"{powershell}\n")
    values = {"TENANT": tenant_id, "NAME": setting_suffix(tenant_id), "URL": url, "SECRET": secret or place}
    values["HOW"] = f" (paste it all, then the {word.lower()}, then Enter)" if secret is None else ""
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)


def _read(name: str) -> str:
    return (resources.files("cli") / "kit" / name).read_text(encoding="utf-8")


def _secret(tenant_id: str, form: str) -> tuple[str | None, str]:
    tenants, _ = parse_tenants(read_environment(secrets_dir())(), keys=())
    tenant = tenants.get(tenant_id, Tenant(tenant_id))
    token = form == "token"
    secret = tenant.webhook_token if token else next(iter(tenant.webhook_secrets), "")
    setting = f"{'WEBHOOK_TOKEN' if token else 'WEBHOOK_SECRET'}_{setting_suffix(tenant_id)}"
    make = "create one with `openssl rand -base64 32` (see docs/support/faq/faq-webhook-setup.md)"
    if not secret:
        return None, f"{setting} is not set here, or the tenant's settings are invalid. If there is none, {make}."
    if not _PLAIN.fullmatch(secret):
        return None, f"{setting} contains a blank, a quote, $, ` or \\, or a non-ASCII character: {make}."
    return secret, ""
