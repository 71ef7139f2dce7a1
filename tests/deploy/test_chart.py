"""The chart, rendered by Helm's own library: valid for Kubernetes, closed, and with probes that Monitor answers."""

from __future__ import annotations

from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from helm_python import Chart, lint

import monitor
from tests.deploy.conftest import DEPLOY, KNOWN

FOLDER = DEPLOY / "helm" / "monitor"
VERSIONS = ("1.27", "1.37")
"""Of Kubernetes: the lowest that the chart allows, and the newest of which there are schemas."""

LEAST: dict[str, Any] = {"secret": "monitor"}
MOST: dict[str, Any] = {
    "secret": "monitor",
    "ownerSecret": "monitor-owner",
    "migration": {"grantTo": "monitor_app"},
    "imagePullSecrets": [{"name": "registry"}],
    "serve": {"autoscaling": {"enabled": True}},
    "work": {"autoscaling": {"enabled": True, "prometheusUrl": "http://prometheus:9090"}},
    "ingress": {"enabled": True, "host": "monitor.example.com", "className": "nginx", "tlsSecret": "tls"},
    "networkPolicy": {"enabled": True, "serveFrom": [{"podSelector": {"matchLabels": {"app": "ingress"}}}]},
    "serviceMonitor": {"enabled": True, "tokenSecret": {"name": "viewer"}, "labels": {"release": "prometheus"}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "podAnnotations": {"example.com/a": "b"},
    "serviceAccount": {"annotations": {"example.com/a": "b"}},
}
CUSTOM = {"ServiceMonitor", "ScaledObject"}
"""Kinds of the operators of Prometheus and KEDA, which are not Kubernetes's own."""

Manifest = dict[str, Any]


def rendered(values: dict[str, Any]) -> list[Manifest]:
    files = Chart.load(FOLDER).render(values, name="shop", namespace="monitoring")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def one(kind: str, values: dict[str, Any], *, ends: str = "") -> Manifest:
    (found,) = [it for it in rendered(values) if it["kind"] == kind and it["metadata"]["name"].endswith(ends)]
    return found


def pods(values: dict[str, Any]) -> dict[str, Manifest]:
    """Return the specification of every pod, by its first argument."""
    found = {}
    for manifest in rendered(values):
        spec = manifest.get("spec", {})
        template = spec.get("jobTemplate", manifest).get("spec", {}).get("template")
        if template:
            found[template["spec"]["containers"][0]["args"][0]] = template["spec"]
    return found


@pytest.mark.parametrize("values", [LEAST, MOST], ids=["least", "most"])
def test_helm_has_nothing_to_say_against_it(values: dict[str, Any]) -> None:
    report = lint(FOLDER, values, strict=True)
    assert [message for message in report["messages"] if message["severity"] > 1] == report["errors"] == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", [LEAST, MOST], ids=["least", "most"])
def test_kubernetes_takes_what_it_renders(values: dict[str, Any], version: str) -> None:
    manifests = rendered(values)
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(names) == len(set(names))


def test_what_is_optional_is_left_out() -> None:
    kinds = {manifest["kind"] for manifest in rendered(LEAST)}
    assert kinds == {"Deployment", "Job", "PodDisruptionBudget", "Service", "ServiceAccount"}
    added = {manifest["kind"] for manifest in rendered(MOST)} - kinds
    assert added == CUSTOM | {"CronJob", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy"}


@pytest.mark.parametrize("values", [LEAST, MOST], ids=["least", "most"])
def test_every_pod_is_closed(values: dict[str, Any]) -> None:
    found = pods(values)
    assert found.keys() == {"serve", "work", "migrate"} | ({"maintain"} if "ownerSecret" in values else set())
    for pod in found.values():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        # Kubernetes would set MONITOR_PORT and others, which are no settings: no process would start.
        assert pod["enableServiceLinks"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
        assert container["image"] == f"monitor:{monitor.__version__}"


def test_settings_are_those_of_monitor() -> None:
    for pod in pods(MOST).values():
        assert {variable["name"] for variable in pod["containers"][0]["env"]} <= KNOWN
    text = (FOLDER / "values.yaml").read_text()
    named = {word.strip("#:,`.") for word in text.split() if "MONITOR_" in word}
    assert named <= KNOWN, named - KNOWN


def test_the_owner_alone_migrates() -> None:
    secrets = {
        name: [source["secretRef"]["name"] for source in pod["containers"][0]["envFrom"]]
        for name, pod in pods(MOST).items()
    }
    own, owner = ["monitor"], ["monitor", "monitor-owner"]
    assert secrets == {"serve": own, "work": own, "migrate": owner, "maintain": owner}
    assert pods(MOST)["migrate"]["containers"][0]["args"] == ["migrate", "--grant", "monitor_app"]
    assert pods(LEAST)["migrate"]["containers"][0]["args"] == ["migrate"]
    hook = one("Job", MOST)["metadata"]["annotations"]
    assert hook["helm.sh/hook"] == "pre-install,pre-upgrade"


@pytest.mark.parametrize("name", ["serve", "work"])
def test_probes_stops_and_budgets(name: str) -> None:
    pod = pods(LEAST)[name]
    (container,) = pod["containers"]
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
    assert str(container["ports"][0]["containerPort"]) in container["args"]
    assert pod["terminationGracePeriodSeconds"] >= {"serve": 5 + 10, "work": 25 + 10}[name]
    deployment = one("Deployment", LEAST, ends=name)
    budget = one("PodDisruptionBudget", LEAST, ends=name)
    labels = deployment["spec"]["selector"]["matchLabels"]
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert {one["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] for one in spread(pod)} == {name}


def spread(pod: Manifest) -> list[Manifest]:
    found: list[Manifest] = pod["topologySpreadConstraints"]
    return found


def test_autoscalers_set_the_number_of_replicas_alone() -> None:
    for name in ("serve", "work"):
        assert one("Deployment", LEAST, ends=name)["spec"]["replicas"] == 2
        assert "replicas" not in one("Deployment", MOST, ends=name)["spec"]
    (trigger,) = one("ScaledObject", MOST)["spec"]["triggers"]
    assert trigger["metadata"]["query"].startswith("max(monitor_oldest_due_age_seconds{")
    assert one("ScaledObject", MOST)["spec"]["scaleTargetRef"] == {"name": "shop-monitor-work"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "secret: the name of a Secret"),
        (
            {**LEAST, "settings": {"MONITOR_WORKER__DRAIN_S": "60"}},
            "work.terminationGracePeriodSeconds: at least 10 more",
        ),
        ({**LEAST, "settings": {"MONITOR_JWT__KEYS": "[]"}}, "MONITOR_JWT__KEYS"),
        ({**LEAST, "settings": {"HTTP_PROXY": "x"}}, "HTTP_PROXY"),
        ({**LEAST, "serve": {"replica": 2}}, "replica"),
        ({**LEAST, "work": {"autoscaling": {"enabled": True}}}, "work.autoscaling.prometheusUrl"),
        ({**LEAST, "ingress": {"enabled": True}}, "ingress.host"),
    ],
)
def test_wrong_values_are_refused_with_their_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        install(values)
    assert said in str(refused.value)


def install(values: dict[str, Any]) -> None:
    """Do with *values* what Helm does before it reaches a cluster."""
    chart = Chart.load(FOLDER)
    chart.validate_schema(values)
    chart.render(values)


def test_the_chart_is_of_this_version() -> None:
    assert Chart.load(FOLDER).metadata["appVersion"] == monitor.__version__
