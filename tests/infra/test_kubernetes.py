"""The manifests: what Kubernetes would take, and what this program needs of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from backend.api import health
from backend.cli.main import app
from backend.settings import Settings
from tests.infra.dockerfile import stages

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "kubernetes"
KUBERNETES = ("1.31", "1.37")  # the oldest and the newest that it is for
BASES = [folder for folder in sorted(FOLDER.iterdir()) if (folder / "kustomization.yaml").exists()]
OVERLAYS = sorted(path.parent for path in FOLDER.glob("overlays/*/kustomization.yaml"))
FILES = [path for base in BASES for path in sorted(base.glob("*.yaml")) if path.name != "kustomization.yaml"]
Document = dict[str, Any]

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is missing: it has kustomize")


def documents(text: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(text) if document]


def rendered(folder: Path) -> list[Document]:
    """Return what `kubectl apply -k` would send."""
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def written(base: Path) -> list[Document]:
    """Return a base's documents as they are in its files."""
    return [document for path in FILES if path.parent == base for document in documents(path.read_text())]


def of_kind(found: list[Document], kind: str) -> list[Document]:
    return [document for document in found if document["kind"] == kind]


def pods(found: list[Document]) -> list[Document]:
    """Return the specifications of all pods."""
    return [document["spec"]["template"]["spec"] for document in found if document["kind"] in ("Deployment", "Job")]


def containers(found: list[Document]) -> Iterator[Document]:
    for pod in pods(found):
        yield from (*pod.get("initContainers", []), *pod["containers"])


def settings(base: Path) -> dict[str, str]:
    """Return the settings that a base's kustomization writes down."""
    kustomization = yaml.safe_load((base / "kustomization.yaml").read_text())
    literals = [literal for made in kustomization["configMapGenerator"] for literal in made["literals"]]
    return dict(literal.split("=", 1) for literal in literals)


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_manifests_are_of_their_kinds(path: Path, version: str) -> None:
    for document in documents(path.read_text()):
        kubernetes_validate.validate(document, version, strict=True)


def test_validator_finds_what_is_wrong() -> None:
    (document,) = documents((FOLDER / "core" / "autoscaler.yaml").read_text())
    document["spec"]["maxReplica"] = document["spec"].pop("maxReplicas")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, KUBERNETES[0], strict=True)


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_all_files_of_a_base_are_taken(base: Path) -> None:
    named = yaml.safe_load((base / "kustomization.yaml").read_text())["resources"]
    assert sorted(named) == sorted(path.name for path in FILES if path.parent == base)


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_overlays_render_to_what_kubernetes_takes(overlay: Path) -> None:
    for document in rendered(overlay):
        kubernetes_validate.validate(document, KUBERNETES[0], strict=True)


@needs_kubectl
def test_overlays_differ_by_what_their_values_say_and_no_more() -> None:
    of_the_core = [overlay for overlay in OVERLAYS if overlay.name != "edge"]
    shapes = []
    for overlay in of_the_core:
        found = rendered(overlay)
        (names,) = of_kind(found, "ConfigMap")
        text = yaml.safe_dump([document for document in found if document["kind"] not in ("ConfigMap", "Namespace")])
        text = text.replace(names["metadata"]["name"], "SETTINGS")
        text = re.sub(r"\bnamespace: \S+", "namespace: NAMESPACE", text)
        shapes.append(re.sub(r"\b(image|minReplicas|maxReplicas): \S+", r"\1: VALUE", text))

    assert len(shapes) == 3
    assert len(set(shapes)) == 1
    assert "VALUE" in shapes[0]


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_pods_can_do_no_more_than_they_must(base: Path) -> None:
    user = int(stages(ROOT / "infra/containers/Dockerfile")["runtime"].arguments("USER")[-1].split(":")[0])
    for pod in pods(written(base)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == user  # the image's
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(written(base)):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"/data", "/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_settings_of_pods_exist_and_secrets_are_named_only(base: Path) -> None:
    variables = [variable for container in containers(written(base)) for variable in container.get("env", [])]
    stated = {variable["name"] for variable in variables} | settings(base).keys()
    taken = {name.removeprefix("SONICA_").lower(): value for name, value in settings(base).items()}

    Settings(**taken)  # raises for a value that cannot be
    assert {name for name in stated if name.startswith("SONICA_")} <= {
        f"SONICA_{field.upper()}" for field in Settings.model_fields
    }
    secret = re.compile(r"(URL|KEY|SECRET|PASSWORD)$")
    public = {"SONICA_BUNDLE_URL", "SONICA_ORIGIN_URL"}
    assert not [name for name in settings(base) if secret.search(name) and name not in public]
    assert not [
        variable
        for variable in variables
        if secret.search(variable["name"]) and "secretKeyRef" not in variable["valueFrom"]
    ]


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_selectors_find_the_pods_that_they_are_for(base: Path) -> None:
    found = written(base)
    (deployment,) = of_kind(found, "Deployment")
    common = yaml.safe_load((base / "kustomization.yaml").read_text())["labels"][0]
    labels = common["pairs"] | deployment["spec"]["template"]["metadata"]["labels"]
    wanted = deployment["spec"]["selector"]["matchLabels"]
    (service,) = of_kind(found, "Service")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    assert common["includeTemplates"]
    assert wanted.items() <= labels.items()
    assert service["spec"]["selector"] == wanted
    assert service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in container["ports"]}
    for budget in of_kind(found, "PodDisruptionBudget"):
        assert budget["spec"]["selector"]["matchLabels"] == wanted
    for scaler in of_kind(found, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        assert scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]
        assert "replicas" not in deployment["spec"]  # two would say how many
    for job in of_kind(found, "Job"):
        assert not wanted.items() <= (common["pairs"] | job["spec"]["template"]["metadata"]["labels"]).items()


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_probes_ask_what_the_program_answers(base: Path) -> None:
    (deployment,) = of_kind(written(base), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    asked = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}

    assert asked == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert set(asked.values()) <= {route.path for route in health.router.routes}


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_pods_have_the_time_to_stop_that_their_settings_need(base: Path) -> None:
    (deployment,) = of_kind(written(base), "Deployment")
    needed = float(settings(base)["SONICA_SHUTDOWN_NOTICE_SECONDS"]) + float(
        settings(base)["SONICA_SHUTDOWN_SECONDS_MAX"]
    )
    readiness = deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]

    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= needed + 10
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= float(
        settings(base)["SONICA_SHUTDOWN_NOTICE_SECONDS"]
    )  # or balancers send on to a server that has stopped


def test_pods_wait_for_the_migration_that_the_job_runs() -> None:
    found = written(FOLDER / "core")
    (job,) = of_kind(found, "Job")
    (waiting,) = of_kind(found, "Deployment")[0]["spec"]["template"]["spec"]["initContainers"]
    (migrating,) = job["spec"]["template"]["spec"]["containers"]
    options = {
        option for parameter in typer.main.get_command(app).commands["migrate"].params for option in parameter.opts
    }

    assert waiting["image"] == migrating["image"]
    assert migrating["args"] == ["migrate"]
    assert waiting["args"] == ["migrate", "--check"]
    assert "--check" in options


def test_nothing_reaches_the_pods_or_leaves_them_but_what_is_named() -> None:
    (policy,) = of_kind(written(FOLDER / "core"), "NetworkPolicy")
    everywhere = [rule for rule in policy["spec"]["egress"] if {"ipBlock": {"cidr": "0.0.0.0/0"}} in rule["to"]]

    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule["from"] and rule["ports"] for rule in policy["spec"]["ingress"])
    assert [port["port"] for rule in everywhere for port in rule["ports"]] == [443]
