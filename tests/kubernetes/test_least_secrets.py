"""Each pod mounts the secrets that its process uses, and no others."""

import pytest

from config.own_secrets import not_for_the_api
from tests.kubernetes.rendering import WHOLE, Change, Rendered, component, mounted, sources, variables

_STORES = {"ai-agents-secrets": {"DATABASE_URL", "REDIS_PASSWORD"}}
MOUNTED: dict[str, dict[str, set[str]]] = {
    "ai-agents-api": {"ai-agents-secrets": {WHOLE}},
    "ai-agents-worker": {
        "ai-agents-desk-secrets": {WHOLE},
        "ai-agents-model-secrets": {WHOLE},
        "ai-agents-secrets": {"FEEDBACK_KEY"},
    },
    "ai-agents-housekeeping": {
        "ai-agents-desk-secrets": {WHOLE},
        "ai-agents-model-secrets": {"EMBEDDINGS_API_KEY"},
    },
    "ai-agents-console": {"ai-agents-console-secrets": {WHOLE}},
    "ai-agents-migrate": {},
}


@pytest.fixture
def everything(changed: Change) -> Rendered:
    """Render the production overlay with all optional parts."""
    return changed(kustomization=[component("feedback"), component("console")])


def test_each_pod_mounts_what_its_process_uses(everything: Rendered) -> None:
    assert {name: mounted(everything, name) for name in MOUNTED} == MOUNTED
    for name in MOUNTED.keys() - {"ai-agents-migrate"}:
        assert variables(everything, name) == _STORES
        maps = [source["configMap"] for source in sources(everything, name) if "configMap" in source]
        assert maps == [{"name": "ai-agents-tenants"}]
    others = dict(everything.pods()).keys() - MOUNTED.keys()
    assert [name for name in others if mounted(everything, name)] == []


def test_without_feedback_a_worker_has_no_secret_of_the_api(production: Rendered) -> None:
    assert set(mounted(production, "ai-agents-worker")) == {"ai-agents-desk-secrets", "ai-agents-model-secrets"}


def test_the_laptops_secrets_are_kept_apart_too(local: Rendered) -> None:
    """The API's pod, which faces the Internet, would get another process's secret."""
    assert not_for_the_api(local.secret("ai-agents-secrets")) == []
    assert not_for_the_api(local.one("ConfigMap", "ai-agents-tenants")["data"]) == []
    assert set(not_for_the_api(local.secret("ai-agents-desk-secrets"))) == {"SERVICEDESK_API_KEY_ACME"}
    assert set(not_for_the_api(local.secret("ai-agents-model-secrets"))) == {"OPENAI_API_KEY"}
