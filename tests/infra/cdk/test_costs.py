"""README's table of costs is what the values cost, and counts what the templates have."""

from __future__ import annotations

from pathlib import Path

from infra.cdk import costs
from infra.cdk.environments import ENVIRONMENTS, PROD
from tests.infra.cdk.conftest import Assembly

README = Path(__file__).parents[3] / "infra" / "cdk" / "README.md"


def test_table_is_the_one_of_todays_values() -> None:
    assert costs.table() in README.read_text(encoding="utf-8")


def test_sum_is_that_of_its_lines() -> None:
    lines = list(costs.costs(PROD))

    assert f"{sum(line.dollars for line in lines):,.2f} |" in costs.table()
    assert {line.name: line.dollars for line in lines}["NAT"] == 3 * 730 * 0.045
    assert costs.most(PROD) > sum(line.dollars for line in lines)


def test_as_much_is_counted_as_the_templates_have(assembly: Assembly) -> None:
    def count(kind: str) -> int:
        return len(list(assembly.resources(kind)))

    zones = len(ENVIRONMENTS[assembly.environment.name].wavelength_zones)
    assert count("AWS::KMS::Key") == costs.KEYS
    assert count("AWS::SecretsManager::Secret") == costs.SECRETS
    assert count("AWS::CloudWatch::Alarm") == costs.ALARMS + zones
    assert count("AWS::Logs::MetricFilter") == costs.COUNTED_METRICS
    assert count("AWS::Batch::JobDefinition") == costs.JOBS
    assert len(assembly.one("AWS::WAFv2::WebACL", "Firewall").properties["Rules"]) == costs.FIREWALL_RULES
