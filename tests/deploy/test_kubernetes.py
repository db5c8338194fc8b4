"""The manifests are valid, carry the guide's probes, and set only settings that exist."""

from __future__ import annotations

from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.config import load, setting_fields
from tests.servers import ROOT

FILES = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
DOCUMENTS = [document for path in FILES for document in yaml.safe_load_all(path.read_text())]
PODS = [document for document in DOCUMENTS if document["kind"] in {"Deployment", "Job"}]
CONFIG = next(document["data"] for document in DOCUMENTS if document["kind"] == "ConfigMap")

GUIDE_PROBES = yaml.safe_load("""
livenessProbe:
  httpGet:
    path: /health/live
    port: 8000
  initialDelaySeconds: 30
  periodSeconds: 10

readinessProbe:
  httpGet:
    path: /health/ready
    port: 8000
  initialDelaySeconds: 5
  periodSeconds: 5
""")


def container(document: dict[str, Any]) -> dict[str, Any]:
    [only] = document["spec"]["template"]["spec"]["containers"]
    return only


def named(name: str) -> dict[str, Any]:
    return next(document for document in PODS if document["metadata"]["name"] == f"video-scheduler-{name}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_manifest_is_valid(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_the_validator_refuses_what_is_wrong() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_the_web_pods_have_the_guides_probes() -> None:
    web = container(named("web"))

    assert {name: web[name] for name in GUIDE_PROBES} == GUIDE_PROBES
    assert web["ports"] == [{"name": "http", "containerPort": 8000}]
    assert CONFIG["BIND"].endswith(":8000")


@pytest.mark.parametrize("name", ["workers", "dispatcher"])
def test_the_others_serve_what_they_are_probed_on(name: str) -> None:
    pod = container(named(name))

    port = pod["livenessProbe"]["httpGet"]["port"]
    assert {"name": "METRICS_PORT", "value": str(port)} in pod["env"]
    assert pod["ports"] == [{"name": "metrics", "containerPort": port}]


def test_pods_are_selected_by_labels_they_have() -> None:
    for document in DOCUMENTS:
        if document["kind"] == "Deployment":
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert document["spec"]["selector"]["matchLabels"] == labels
        if document["kind"] == "Service":
            assert (
                document["spec"]["selector"].items()
                <= named("web")["spec"]["template"]["metadata"]["labels"].items()
            )


def test_pods_run_without_rights() -> None:
    for document in PODS:
        assert document["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
        assert container(document)["securityContext"]["readOnlyRootFilesystem"] is True
        assert container(document)["securityContext"]["allowPrivilegeEscalation"] is False


def test_the_settings_exist_and_are_accepted() -> None:
    known = {field.name.upper() for field in setting_fields()} | {"PROMETHEUS_MULTIPROC_DIR"}
    secrets = {
        "SECRET_KEY": token_urlsafe(32),
        "JWT_SECRET_KEY": token_urlsafe(32),
        "ENCRYPTION_KEYS": "k1:" + "a" * 43 + "=",
    }
    secrets |= {"DATABASE_URL": "postgresql+psycopg://db/x", "REDIS_URL": "redis://redis:6379/0"}

    settings = load(CONFIG | secrets)

    assert set(CONFIG) - known == set()
    assert settings.is_production
    assert settings.storage_backend == "s3"
