"""Every environment can be synthesised from what is here, and every finding about it has its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from infra.cdk import app as deployment
from infra.cdk.app import Zips
from infra.cdk.environments import DEV, PROD
from tests.infra.cdk.conftest import Assembly


def test_every_finding_has_a_reason_when_an_environment_is_synthesised(assembly: Assembly) -> None:
    report = assembly.validation()

    assert {"AwsSolutions", "CloudFormation Validate"} <= report.keys()
    for name, said in report.items():
        assert said["conclusion"] == "success", name
        assert said["violations"] == [], name
    reasons = json.dumps(report["AwsSolutions"]["suppressedViolations"])
    assert len(report["AwsSolutions"]["suppressedViolations"]) >= 20
    assert '""' not in reasons


def test_synthesis_fails_when_a_finding_has_no_reason(zips: Zips, tmp_path: Path) -> None:
    app = cdk.App(outdir=str(tmp_path))
    deployment.describe(app, replace(DEV, wavelength_zones=()), zips)
    s3.Bucket(cdk.Stack(app, "Careless"), "Open")

    with pytest.raises(RuntimeError, match="AwsSolutions-S10"):
        app.synth()
    assert "AwsSolutions-S10" in (tmp_path / "validation-report.json").read_text()


@pytest.mark.parametrize(("context", "said"), [
    ({}, "stage=dev|staging|prod"),
    ({"stage": "moon"}, "stage=dev|staging|prod"),
    ({"stage": "dev", "origin_zip": "nowhere.zip"}, "scripts/build_lambda.py"),
    ({"stage": "dev", "origin_zip": __file__, "edge_zips": "nowhere"}, "scripts/build_edge.py --set body_bytes_max="),
])  # fmt: skip
def test_command_says_what_is_missing_when_it_cannot_synthesise(context: dict[str, str], said: str) -> None:
    with pytest.raises(SystemExit) as refusal:
        deployment.chosen(cdk.App(context=context))
    assert said in str(refusal.value)


def test_command_takes_what_the_context_names(zips: Zips) -> None:
    context = {"stage": "prod", "origin_zip": str(zips.origin), "edge_zips": str(zips.edge)}

    assert deployment.chosen(cdk.App(context=context)) == (PROD, zips)


def test_zip_is_refused_when_it_is_larger_than_aws_takes(zips: Zips, tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    folder.mkdir()
    for path in zips.edge.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    padded = zips.edge.joinpath("viewer_request.zip").read_bytes()
    (folder / "viewer_request.zip").write_bytes(bytes(1_000_001 - len(padded)) + padded)  # a zip is read from its end

    with pytest.raises(ValueError, match=r"viewer_request\.zip: 1,000,001 bytes"):
        deployment.synthesize(DEV, Zips(zips.origin, folder), tmp_path / "out")


def test_edge_is_where_aws_wants_it_when_the_rest_lives_elsewhere(abroad: Assembly) -> None:
    manifest = json.loads((abroad.folder / "manifest.json").read_text())["artifacts"]
    places = {
        name: each["environment"] for name, each in manifest.items() if each["type"] == "aws:cloudformation:stack"
    }

    assert places.pop("Sonica-abroad-Edge") == f"aws://{DEV.account}/us-east-1"
    assert set(places.values()) == {f"aws://{DEV.account}/eu-west-1"}
    key = abroad.one("AWS::SecretsManager::Secret", "OriginKey1")
    assert key.properties["ReplicaRegions"] == [{"Region": "eu-west-1"}]


def test_stacks_cannot_be_deleted_when_the_environment_is_protected(assembly: Assembly) -> None:
    manifest = json.loads((assembly.folder / "manifest.json").read_text())["artifacts"]
    stacks = [each["properties"] for each in manifest.values() if each["type"] == "aws:cloudformation:stack"]

    assert len(stacks) == 8 + len(assembly.environment.wavelength_zones)
    assert {bool(each.get("terminationProtection")) for each in stacks} == {assembly.environment.deletion_protection}
    assert PROD.deletion_protection
