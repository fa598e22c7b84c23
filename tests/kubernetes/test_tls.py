"""Verification in production: server certificates and images."""

import re

import pytest

from tests.kubernetes.rendering import K8S, PROCESSES, ROOT, Change, Rendered

DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
FOLDER, FILE = "/etc/ai-agents", "authorities.pem"
_REDIS = re.compile(r'(?<=docs/kubernetes.md, "TLS".\n)((?:  # .*\n)+?)(?=  # For a registry)')


def test_each_process_has_the_authorities_that_the_documents_addresses_name(production: Rendered) -> None:
    """The migration too, whose part of an upgrade includes the file."""
    (config,) = [one for one in production.of("ConfigMap") if FILE in one.get("data", {})]
    assert config["metadata"]["labels"]["app"] == "ai-agents-migrate"
    for process in PROCESSES:
        spec = production.pod(f"ai-agents-{process}")["spec"]
        (volume,) = [one for one in spec["volumes"] if one.get("configMap") == {"name": config["metadata"]["name"]}]
        mount = {"name": volume["name"], "mountPath": FOLDER, "readOnly": True}
        assert mount in spec["containers"][0]["volumeMounts"]
    addresses = re.findall(r"^ *(?:echo \")?(DATABASE_\w*URL)=\S*\?(\S+?)\"?(?: >.*)?$", DOCUMENT, re.MULTILINE)
    assert {name for name, _ in addresses} == {"DATABASE_URL", "DATABASE_ADMIN_URL"}
    assert {options for _, options in addresses} == {f"sslmode=verify-full&sslrootcert={FOLDER}/{FILE}"}
    assert "sslmode=require" not in DOCUMENT


def test_a_redis_of_ones_own_is_verified(changed: Change) -> None:
    """With the lines that are commented out."""
    path = K8S / "overlays" / "production" / "kustomization.yaml"
    (lines,) = _REDIS.findall(path.read_text(encoding="utf-8"))
    rendered = changed(kustomization=[(lines, lines.replace("  # ", "  "))])
    for process in PROCESSES[:3]:
        (url,) = [
            one["value"] for one in rendered.container(f"ai-agents-{process}")["env"] if one["name"] == "REDIS_URL"
        ]
        assert url.startswith("rediss://:$(REDISCLI_AUTH)@")
        assert url.endswith(f"?ssl_cert_reqs=required&ssl_ca_certs={FOLDER}/{FILE}")


@pytest.mark.parametrize("process", PROCESSES)
def test_our_image_is_named_by_its_digest(process: str, production: Rendered) -> None:
    image = production.container(f"ai-agents-{process}")["image"]
    assert re.fullmatch(r"registry\.example\.com/ai-agents@sha256:[0-9a-f]{64}", image)
