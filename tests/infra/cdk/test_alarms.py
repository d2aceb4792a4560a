"""Somebody is told of what infra/observability/alerts.yml tells of, as far as CloudWatch can know it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.infra.cdk.conftest import Assembly

ALERTS = Path(__file__).parents[3] / "infra" / "observability" / "alerts.yml"
# What has no alarm of its own here, and why.
ELSEWHERE = {
    "SonicaRestarts": "Functions come and go; one that does not start is SonicaFunctionErrors.",
    "SonicaIndexEmpty": "The canary fails for an origin without songs: SonicaDown.",
    "SonicaMemory": "A function out of memory is ended by Lambda: SonicaFunctionErrors.",
}


def alarms(assembly: Assembly) -> dict[str, dict[str, object]]:
    prefix = f"sonica-{assembly.environment.name}-"
    return {
        each.properties["AlarmName"].removeprefix(prefix): each.properties
        for each in assembly.resources("AWS::CloudWatch::Alarm")
    }


def test_every_alert_has_its_alarm_or_a_reason(assembly: Assembly) -> None:
    alerts = set(re.findall(r"alert: (\w+)", ALERTS.read_text(encoding="utf-8")))

    assert alerts - alarms(assembly).keys() == ELSEWHERE.keys() & alerts


def test_every_alarm_tells_somebody_what_it_means(assembly: Assembly) -> None:
    for name, alarm in alarms(assembly).items():
        assert alarm["AlarmDescription"], name
        if name != "VersionFails":  # sends a deployment back; SonicaFunctionErrors tells of it
            assert alarm["AlarmActions"] == alarm["OKActions"] != [], name
    addresses = {each.properties["Endpoint"] for each in assembly.resources("AWS::SNS::Subscription")}
    assert addresses == {assembly.environment.alarm_address}


def test_deployment_goes_back_when_the_function_fails(assembly: Assembly) -> None:
    group = assembly.one("AWS::CodeDeploy::DeploymentGroup", "Shift").properties

    assert group["DeploymentConfigName"] == assembly.environment.function_shift
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert "VersionFails" in json.dumps(group["AlarmConfiguration"]["Alarms"])


def test_silence_of_the_canary_and_of_nodes_is_an_alarm(prod: Assembly) -> None:
    silent = {name for name, alarm in alarms(prod).items() if alarm["TreatMissingData"] == "breaching"}

    assert silent == {"SonicaDown", *(f"SonicaNodesDown-{zone.label}" for zone in prod.environment.wavelength_zones)}


def test_metrics_count_the_lines_that_the_program_writes(assembly: Assembly) -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ALERTS.parents[2] / "backend").rglob("*.py"))
    patterns = [each.properties["FilterPattern"] for each in assembly.resources("AWS::Logs::MetricFilter")]
    events = {event for pattern in patterns for event in re.findall(r'\$\.event = "([^"]+)"', pattern)}

    assert events >= {"request", "index_cannot_catch_up"}
    for event in events:
        assert re.search(rf'"{event.replace("*", "[a-z]+")}"', source), event


def test_batch_jobs_that_fail_are_told_of(assembly: Assembly) -> None:
    rule = assembly.one("AWS::Events::Rule", "PublicationFails").properties

    assert rule["EventPattern"]["detail"]["status"] == ["FAILED"]
    assert rule["EventPattern"]["source"] == ["aws.batch"]
    assert "Alarms" in json.dumps(rule["Targets"][0]["Arn"])
