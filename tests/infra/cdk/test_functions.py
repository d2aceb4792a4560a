"""The functions and jobs: what is shipped fits, is called by the right name, and is told what the program reads."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from aws_cdk.assertions import Match, Template

from backend.settings import Settings
from infra.cdk.stacks.edge import EDGE_FUNCTIONS
from infra.cdk.stacks.recognition import BODY_BYTES_MAX
from tests.infra.cdk.conftest import Assembly, Resource

ZIP_MAX = {"ViewerRequest": 1_000_000, "OriginRequest": 50_000_000, "OriginResponse": 50_000_000}
UNZIPPED_MAX = 250_000_000
OF_THE_ORIGIN = {"Recognizer", "Migration", "Worker"}


def functions(assembly: Assembly, names: set[str]) -> dict[str, Resource]:
    found = {each.name: each for each in assembly.resources("AWS::Lambda::Function") if each.name in names}
    assert found.keys() == names
    return found


def settings_told(assembly: Assembly) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the settings of each function and container, by its name."""
    for function in assembly.resources("AWS::Lambda::Function"):
        yield function.name, function.properties.get("Environment", {}).get("Variables", {})
    for job in assembly.resources("AWS::Batch::JobDefinition"):
        container = job.properties["ContainerProperties"]
        secrets = {each["Name"]: "secret" for each in container["Secrets"]}
        yield job.name, {each["Name"]: each["Value"] for each in container["Environment"]} | secrets
    for task in assembly.resources("AWS::ECS::TaskDefinition"):
        (container,) = task.properties["ContainerDefinitions"]
        yield task.name, {each["Name"]: each["Value"] for each in container["Environment"]}


def test_zips_at_the_edge_fit_and_are_numbered_versions_in_virginia(assembly: Assembly) -> None:
    shipped = functions(assembly, set(ZIP_MAX))
    for name, function in shipped.items():
        path, properties = assembly.asset(function), function.properties
        module = properties["Handler"].removesuffix(".handler").replace(".", "/") + ".py"
        assert path.stat().st_size <= ZIP_MAX[name]
        assert module in zipfile.ZipFile(path).namelist()
        assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["x86_64"])
        assert not {"Environment", "VpcConfig", "Layers", "DeadLetterConfig", "TracingConfig"} & properties.keys()
        assert properties["Timeout"] <= (5 if name == "ViewerRequest" else 30)
    assert shipped["ViewerRequest"].properties["MemorySize"] == 128
    for name in ZIP_MAX:
        principals = json.dumps(assembly.one("AWS::IAM::Role", f"{name}Role").properties["AssumeRolePolicyDocument"])
        assert '"edgelambda.amazonaws.com"' in principals
    associated = assembly.one("AWS::CloudFront::Distribution", "Distribution").properties["DistributionConfig"]
    for behaviour in associated["CacheBehaviors"]:
        events = {each["EventType"]: each for each in behaviour["LambdaFunctionAssociations"]}
        assert len(events) == len(EDGE_FUNCTIONS) == 3
        assert [name for name, each in events.items() if each.get("IncludeBody")] == ["origin-request"]
        assert all("CurrentVersion" in json.dumps(each["LambdaFunctionARN"]) for each in events.values())


def test_edge_refuses_what_the_origin_would_when_its_settings_are_baked_in(prod: Assembly) -> None:
    for function in functions(prod, set(ZIP_MAX)).values():
        baked = zipfile.ZipFile(prod.asset(function)).read("edge_functions/lambda_at_edge/settings.json")
        assert json.loads(baked)["body_bytes_max"] == BODY_BYTES_MAX
    told = dict(settings_told(prod))["Recognizer"]
    assert told["SONICA_BODY_BYTES_MAX"] == str(BODY_BYTES_MAX)
    assert BODY_BYTES_MAX * 4 / 3 < 6_291_556  # what Lambda takes of an event


def test_zip_of_the_origin_fits_and_has_what_is_called(assembly: Assembly) -> None:
    for function in functions(assembly, OF_THE_ORIGIN).values():
        archive = zipfile.ZipFile(assembly.asset(function))
        assert sum(each.file_size for each in archive.infolist()) <= UNZIPPED_MAX
        module, _, attribute = function.properties["Handler"].rpartition(".")
        source = archive.read(module.replace(".", "/") + ".py").decode()
        assert re.search(rf"^(def {attribute}\(|{attribute} = )", source, re.MULTILINE)
        assert function.properties["Runtime"] == "python3.13"


def test_recognition_starts_from_a_snapshot_of_a_version_that_an_alias_names(assembly: Assembly) -> None:
    recognition = Template.from_string(json.dumps(assembly.parts["Recognition"]))
    recognition.has_resource_properties("AWS::Lambda::Function", {
        "Handler": "backend.lambda_handler.handler",
        "SnapStart": {"ApplyOn": "PublishedVersions"},
        "ReservedConcurrentExecutions": assembly.environment.function_concurrency_max,
        "EphemeralStorage": Match.absent(),  # more than 512 MB and SnapStart exclude each other
    })  # fmt: skip
    recognition.has_resource("AWS::Lambda::Alias", {
        "Properties": {
            "Name": "live",
            "FunctionVersion": {"Fn::GetAtt": [Match.string_like_regexp("RecognizerCurrentVersion"), "Version"]},
        },
        "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": Match.any_value()},
    })  # fmt: skip
    recognition.has_resource_properties("AWS::ApiGatewayV2::Integration", {
        "IntegrationUri": {"Ref": Match.string_like_regexp("^Live")}, "PayloadFormatVersion": "2.0",
    })  # fmt: skip
    recognition.resource_properties_count_is(
        "AWS::Lambda::Alias", {"ProvisionedConcurrencyConfig": Match.any_value()}, 0
    )
    told, function = dict(settings_told(assembly))["Recognizer"], functions(assembly, OF_THE_ORIGIN)["Recognizer"]
    assert function.properties["Timeout"] > float(told["SONICA_REQUEST_SECONDS_MAX"])
    assert function.properties["Timeout"] < 30  # of an HTTP API
    assert told["SONICA_AUTH"] == "on"


def test_schema_is_brought_up_to_date_before_a_version_is_published(assembly: Assembly) -> None:
    (version,) = [
        each for each in assembly.resources("AWS::Lambda::Version") if each.name.startswith("RecognizerCurrentVersion")
    ]

    assert any(each.startswith("Migrated") for each in version.described["DependsOn"])


def test_songs_are_taken_in_batches_and_dead_letters_kept(assembly: Assembly) -> None:
    ingest = Template.from_string(json.dumps(assembly.parts["Ingest"]))
    ingest.has_resource_properties("AWS::Lambda::EventSourceMapping", {
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": assembly.environment.ingest_concurrency_max},
    })  # fmt: skip
    queues = {each.name: each.properties for each in assembly.resources("AWS::SQS::Queue") if each.part == "Ingest"}
    worker = functions(assembly, OF_THE_ORIGIN)["Worker"].properties
    arrivals = queues["Arrivals"]
    assert arrivals["RedrivePolicy"]["maxReceiveCount"] == 5
    assert "DeadLetters" in json.dumps(arrivals["RedrivePolicy"]["deadLetterTargetArn"])
    assert arrivals["VisibilityTimeout"] >= 6 * worker["Timeout"]
    assert queues["DeadLetters"]["MessageRetentionPeriod"] == 14 * 86_400
    (allowed,) = queues["DeadLetters"]["RedriveAllowPolicy"]["sourceQueueArns"]
    assert json.dumps(allowed).count(arrivals["QueueName"]) == 1
    songs = assembly.one("AWS::S3::Bucket", "Songs")
    (told,) = songs.properties["NotificationConfiguration"]["QueueConfigurations"]
    assert (told["Event"], "Arrivals" in json.dumps(told["Queue"])) == ("s3:ObjectCreated:*", True)
    assert any(name.startswith("ArrivalsPolicy") for name in songs.described["DependsOn"])


def test_bundles_are_published_by_commands_that_there_are(assembly: Assembly) -> None:
    from typer.testing import CliRunner

    from backend.cli.main import app

    jobs = {
        each.name: each.properties["ContainerProperties"] for each in assembly.resources("AWS::Batch::JobDefinition")
    }
    commands = {name: container["Command"] for name, container in jobs.items()}
    rule = assembly.one("AWS::Events::Rule", "Schedule").properties

    assert commands["Publish"] == ["bundles", "publish"]
    assert commands["PublishHot"][:3] == ["bundles", "publish", "--hot"]
    for command in commands.values():
        shown = CliRunner().invoke(app, [*command, "--help"])
        assert shown.exit_code == 0, shown.output
    for container in jobs.values():
        assert "@" in json.dumps(container["Image"])  # an image by its digest
        assert container["ReadonlyRootFilesystem"] is True
    assert len(rule["Targets"]) == len(jobs) == 2
    assert all("DeadLetterConfig" in each for each in rule["Targets"])


def test_every_setting_that_is_told_is_one_that_the_program_reads(assembly: Assembly) -> None:
    known = {f"SONICA_{name.upper()}" for name in Settings.model_fields}
    for name, told in settings_told(assembly):
        ours = {each: value for each, value in told.items() if each.startswith("SONICA_")}
        if name == "CanaryRun":
            continue
        assert ours.keys() <= known, name
        plain = {each: value for each, value in ours.items() if isinstance(value, str) and value != "secret"}
        with pytest.MonkeyPatch.context() as patch:
            for each, value in plain.items():
                patch.setenv(each, value)
            Settings()
