"""The edge node's modules for Google (Terraform) and Azure (Bicep): they parse, and what must not change unseen."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest
import tree_sitter
import tree_sitter_bicep

from backend.edge_node.app import router
from backend.settings import Settings

ROOT = Path(__file__).parents[2]
GOOGLE = ROOT / "infra" / "google"
AZURE = ROOT / "infra" / "azure"
PORT = Settings.model_fields["port"].default
PATHS = {route.path for route in router.routes}  # type: ignore[attr-defined]
BICEP = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
PLAIN = hcl2.SerializationOptions(strip_string_quotes=True, with_comments=False, explicit_blocks=False)
SECRETS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
DIGEST = "sha256:" + "0a" * 32
Block = dict[str, Any]

needs_terraform = pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is missing")


@cache
def written(kind: str) -> list[Block]:
    """Return the blocks of a kind in all of Google's files."""
    files = sorted(GOOGLE.glob("*.tf"))
    return [
        block for path in files for block in hcl2.loads(path.read_text(), serialization_options=PLAIN).get(kind, [])
    ]


def resources() -> dict[str, Block]:
    """Return Google's resources by kind and name."""
    return {
        f"{kind}.{name}": block
        for found in written("resource")
        for kind, named in found.items()
        for name, block in named.items()
    }


def variables() -> dict[str, Block]:
    return {name: block for found in written("variable") for name, block in found.items()}


def container() -> Block:
    (template,) = resources()["google_cloud_run_v2_service.node"]["template"]
    (only,) = template["containers"]
    return only


def probed(probe: list[Block]) -> str:
    return str(probe[0]["http_get"][0]["path"])


def terraform(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"CHECKPOINT_DISABLE": "1", "HOME": str(folder), "TF_IN_AUTOMATION": "1"}
    command = [str(shutil.which("terraform")), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def bicep() -> str:
    return (AZURE / "edge_node.bicep").read_text()


def nodes(kind: str) -> Iterator[tree_sitter.Node]:
    """Yield the nodes of a kind in Azure's file."""
    waiting = [BICEP.parse(bicep().encode()).root_node]
    while waiting:
        node = waiting.pop()
        waiting.extend(node.children)
        if node.type == kind:
            yield node


def source(node: tree_sitter.Node | None) -> str:
    assert node is not None
    assert node.text is not None
    return node.text.decode()


def environment_of_azure() -> dict[str, str]:
    """Return the container's variables: for each, what is written beside its name."""
    (env,) = re.findall(r"\n          env: \[\n(.*?)\n          \]", bicep(), flags=re.DOTALL)
    return dict(re.findall(r"\{ name: '(\w+)', (.+?) \}(?: //.*)?$", env, flags=re.MULTILINE))


def names_of_settings() -> set[str]:
    return {f"SONICA_{field.upper()}" for field in Settings.model_fields}


# --- Google ----------------------------------------------------------------------------------------------------------


@needs_terraform
def test_terraform_reads_every_file_and_finds_it_well_formed() -> None:
    done = terraform("fmt", "-check", "-diff", folder=GOOGLE)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_terraform
@pytest.mark.parametrize(
    ("changed", "refused_for"),
    [
        ({}, None),
        ({"image": "europe-docker.pkg.dev/p/sonica/edge-node:latest"}, "By its digest"),
        ({"origin_url": "http://sonica.example.com"}, "By https:// alone"),
        ({"bundle_url": "https://bundles.example.com"}, "s3://bucket/prefix"),
        ({"instances_max": "1", "instances_min": "2"}, "No fewer than instances_min"),
        ({"regions": "[]"}, "One region at least"),
    ],
    ids=["all in order", "tag", "no TLS", "no bucket", "bounds", "no region"],
)
def test_values_are_refused_when_they_cannot_be_meant(
    changed: dict[str, str], refused_for: str | None, tmp_path: Path
) -> None:
    shutil.copy(GOOGLE / "variables.tf", tmp_path)  # alone, it needs no provider
    values = {name: "some-value" for name, block in variables().items() if "default" not in block} | {
        "regions": '["europe-west3"]',
        "image": f"europe-docker.pkg.dev/p/sonica/edge-node@{DIGEST}",
        "bundle_url": "s3://bundles/bundles",
        "origin_url": "https://sonica.example.com",
        **changed,
    }
    said = [f"-var={name}={value}" for name, value in values.items()]
    done = terraform("plan", "-input=false", "-no-color", *said, folder=tmp_path)
    assert (done.returncode == 0) is (refused_for is None), done.stderr
    assert refused_for is None or refused_for in done.stderr


def test_variables_are_described_and_used_and_none_holds_a_secret() -> None:
    rest = "".join(path.read_text() for path in GOOGLE.glob("*.tf") if path.name != "variables.tf")
    for name, block in variables().items():
        assert block["description"], name
        assert re.search(rf"\bvar\.{name}\b", rest), name
        assert "default" not in block or not re.search(r"(secret|keys?)$", name), name


def test_nodes_run_an_image_by_digest_with_probes_and_bounds() -> None:
    (template,) = resources()["google_cloud_run_v2_service.node"]["template"]
    (scaling,) = template["scaling"]
    node = container()
    assert node["image"] == "${var.image}"
    assert not {"command", "args"} & node.keys()  # the image's own, with its user
    assert node["ports"][0]["container_port"] == PORT
    assert {probed(node["startup_probe"]), probed(node["liveness_probe"])} == {"/readyz", "/livez"} & PATHS
    assert set(scaling.values()) == {"${var.instances_min}", "${var.instances_max}"}
    assert node["resources"][0]["limits"] == {"cpu": "${var.cpu}", "memory": "${var.memory}"}


def test_nodes_have_settings_that_exist_and_keys_from_secret_manager() -> None:
    (found,) = written("locals")
    assert {name for name in found["settings"] if name.startswith("SONICA_")} <= names_of_settings()
    assert found["secrets"].keys() == SECRETS
    assert not SECRETS & found["settings"].keys()
    contents = [dynamic["env"]["content"][0] for dynamic in container()["dynamic"]]
    assert [sorted(content) for content in contents] == [["name", "value"], ["name", "value_source"]]


def test_nodes_may_read_two_secrets_and_nothing_else() -> None:
    roles = {name: block["role"] for name, block in resources().items() if "_iam_" in name}
    assert roles == {
        "google_secret_manager_secret_iam_member.node": "roles/secretmanager.secretAccessor",
        "google_cloud_run_v2_service_iam_member.balancer": "roles/run.invoker",
    }
    readable = resources()["google_secret_manager_secret_iam_member.node"]
    assert (readable["for_each"], readable["secret_id"]) == ("${local.secrets}", "${each.value}")


def test_listeners_come_by_tls_through_the_balancer_alone() -> None:
    found = resources()
    assert found["google_cloud_run_v2_service.node"]["ingress"] == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    assert [block["port_range"] for name, block in found.items() if "forwarding_rule" in name] == ["443"]
    assert not [name for name in found if "http_proxy" in name or "firewall" in name]
    assert found["google_compute_ssl_policy.tls"]["min_tls_version"] == "TLS_1_2"
    assert found["google_compute_target_https_proxy.nodes"]["ssl_policy"] == "${google_compute_ssl_policy.tls.id}"
    assert not [name for name in found if name.startswith("google_compute_instance")]


def test_balancer_lets_few_paths_through_and_limits_addresses() -> None:
    found = resources()
    policy = "${google_compute_security_policy.listeners.id}"
    assert found["google_compute_backend_service.nodes"]["security_policy"] == policy
    rules = sorted(found["google_compute_security_policy.listeners"]["rule"], key=lambda rule: int(rule["priority"]))
    assert [rule["action"] for rule in rules] == ["deny(404)", "throttle", "deny(403)"]
    named = set(re.findall(r"request\.path == '([^']+)'", rules[0]["match"][0]["expr"][0]["expression"]))
    assert named == PATHS - {"/livez", "/readyz"}
    (limit,) = rules[1]["rate_limit_options"]
    assert (limit["enforce_on_key"], limit["exceed_action"]) == ("IP", "deny(429)")


# --- Azure -----------------------------------------------------------------------------------------------------------


def test_bicep_is_of_its_grammar() -> None:
    assert not BICEP.parse(bicep().encode()).root_node.has_error
    assert BICEP.parse(bicep().replace("= {", "= {{", 1).encode()).root_node.has_error


def test_parameters_are_described_and_used_and_none_holds_a_secret() -> None:
    uses = [source(node) for node in nodes("identifier")]
    parameters = list(nodes("parameter_declaration"))
    assert len(parameters) > 10
    for parameter in parameters:
        name = source(parameter.named_children[0])
        above = parameter.prev_named_sibling
        assert above is not None
        assert above.type == "decorators", name
        assert "@description(" in source(above), name
        assert uses.count(name) + bicep().count("${" + name + "}") > 1, name
        assert " = " not in source(parameter) or not re.search(r"(Secret|Keys?)$", name), name


def test_variables_of_azures_container_exist_and_keys_come_from_the_vault() -> None:
    env = environment_of_azure()
    assert {name for name in env if name.startswith("SONICA_")} <= names_of_settings()
    assert {name for name, value in env.items() if value.startswith("secretRef:")} == SECRETS
    assert env["SONICA_ORIGIN_URL"] == "value: 'https://${originHost}'"
    vaults = re.findall(r"keyVaultUrl: '\$\{vault\.properties\.vaultUri\}secrets/\$\{(\w+)\}'", bicep())
    assert vaults == ["accessKeyIdSecret", "secretAccessKeySecret"]
    assert not re.search(r"listKeys|listCredentials|sharedKey|adminUserEnabled|passwordSecretRef", bicep())


def test_azures_node_has_two_roles_each_where_it_is_needed() -> None:
    assigned = [source(node) for node in nodes("resource_declaration") if "roleAssignments@" in source(node)]
    pairs = {
        (re.findall(r"scope: (\S+)", text)[0], re.findall(r"roleDefinitionId: (\S+)", text)[0]) for text in assigned
    }
    assert pairs == {
        ("registry", "pullsImages"),
        ("vault::accessKeyId", "readsSecrets"),
        ("vault::secretAccessKey", "readsSecrets"),
    }


def test_azures_node_runs_an_image_by_digest_by_tls_with_probes_and_bounds() -> None:
    text = bicep()
    assert re.findall(r"image: '(.+)'", text) == [
        "${registry.properties.loginServer}/sonica/edge-node@${imageDigest}"  # fits a digest alone
    ]
    (length,) = re.findall(r"@minLength\((\d+)\)\n@maxLength\(\1\)\nparam imageDigest", text)
    assert int(length) == len(DIGEST)
    assert "allowInsecure: false" in text
    assert f"var port = {PORT}\n" in text
    probes = dict(re.findall(r"type: '(\w+)'\n\s+httpGet: \{ path: '(\S+)', port: port \}", text))
    assert probes == {"Startup": "/livez", "Readiness": "/readyz", "Liveness": "/livez"}
    assert set(probes.values()) <= PATHS
    assert all(int(most) <= 10 for most in re.findall(r"failureThreshold: (\d+)", text))  # Azure takes no more
    assert re.search(r"minReplicas: replicasMin\n\s+maxReplicas: replicasMax", text)
