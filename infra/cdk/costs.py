"""What an environment costs a month, by its values: `python -m infra.cdk.costs` prints README's table.

The prices are those of us-east-1 in dollars FROM MEMORY (2026-11-21), not looked up: check them before relying on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from infra.cdk.environments import ENVIRONMENTS, Environment

_HOURS = 730  # a month
_NAT_HOUR = 0.045
_ACU_HOUR = 0.12
_CACHE_GIGABYTE_HOUR = 0.084
_CACHE_GIGABYTES_MIN = 0.1  # less is not billed
_KEY = 1.0
_SECRET = 0.40
_FIREWALL, _FIREWALL_RULE = 5.0, 1.0
_ALARM, _DASHBOARD, _COUNTED_METRIC = 0.10, 3.0, 0.30
_CANARY_RUN = 0.0012
_FARGATE_CORE_HOUR, _FARGATE_GIGABYTE_HOUR = 0.04048, 0.004445
_NODE_HOUR = {"t3.medium": 0.056, "t3.xlarge": 0.224, "r5.2xlarge": 0.68}  # in a Wavelength zone
_DISK_GIGABYTE = 0.12
_BALANCER_HOUR = 0.0225
_SNAPSHOT_GIGABYTE_SECOND = 0.0000015046
_LAMBDA_GIGABYTE_SECOND, _LAMBDA_MILLION = 0.0000166667, 0.20
_EDGE_GIGABYTE_SECOND, _EDGE_MILLION = 0.00005001, 0.60
_API_MILLION, _CLOUDFRONT_MILLION, _FIREWALL_MILLION = 1.0, 1.0, 0.60

# What the templates have; tests/infra/cdk/test_costs.py counts them there.
KEYS, SECRETS, FIREWALL_RULES, COUNTED_METRICS, ALARMS, JOBS = 3, 4, 4, 8, 17, 2

# Assumed: how long a publication takes, and what a recognition is billed for at the origin and in the edge's functions.
_PUBLICATION_HOURS = 0.25
_ORIGIN_SECONDS, _EDGE_SECONDS, _EDGE_INVOCATIONS = 0.05, 0.02, 3
_EDGE_GIGABYTES = 0.5
_DISK_GB = 30


@dataclass(frozen=True, slots=True)
class Cost:
    """A line of the table; per month."""

    name: str
    formula: str
    dollars: float


def costs(environment: Environment) -> Iterator[Cost]:
    """Yield what is paid though nobody asks."""
    e, zones = environment, environment.wavelength_zones
    instances = 1 + e.database_readers
    yield Cost("NAT", "gateways x 730 h x 0.045", e.nat_gateways * _HOURS * _NAT_HOUR)
    yield Cost("Aurora at its least", "least ACU x instances x 730 h x 0.12", _aurora(e.database_acu_min, instances))
    least = _CACHE_GIGABYTES_MIN * _HOURS * _CACHE_GIGABYTE_HOUR
    yield Cost("Valkey at its least", "0.1 GB x 730 h x 0.084", least)
    snapshot = e.function_memory_mb / 1024 * _HOURS * 3600 * _SNAPSHOT_GIGABYTE_SECOND
    yield Cost("SnapStart's snapshot", "memory in GB x 730 h x 3,600 x 0.0000015", snapshot)
    yield Cost("publication", "2 jobs x 730 h / every x 0.25 h x (vCPU x 0.0405 + GB x 0.0044)", _publication(e))
    nodes = sum(
        zone.nodes_min * (_NODE_HOUR[zone.instance_type] * _HOURS + _DISK_GB * _DISK_GIGABYTE) for zone in zones
    )
    yield Cost("Wavelength's nodes", "least nodes x (730 h x 0.056 or 0.224 + 30 GB x 0.12)", nodes)
    yield Cost("Wavelength's balancers", "zones x 730 h x 0.0225", len(zones) * _HOURS * _BALANCER_HOUR)
    yield Cost("firewall", "5 + 4 rules x 1", _FIREWALL + FIREWALL_RULES * _FIREWALL_RULE)
    yield Cost("keys, secrets", "3 keys x 1 + 4 secrets x 0.40", KEYS * _KEY + SECRETS * _SECRET)
    watching = _DASHBOARD + COUNTED_METRICS * _COUNTED_METRIC + (ALARMS + len(zones)) * _ALARM
    yield Cost("alarms, metrics, dashboard", "(17 + zones) x 0.10 + 8 x 0.30 + 3", watching)
    yield Cost("canary", "730 h x 60 / every x 0.0012", _HOURS * 60 / e.canary_minutes * _CANARY_RUN)


def most(environment: Environment) -> float:
    """Return what Aurora and Valkey take in a month at the most that they may scale to."""
    cache = environment.cache_gigabytes_max * _HOURS * _CACHE_GIGABYTE_HOUR
    return _aurora(environment.database_acu_max, 1 + environment.database_readers) + cache


def million(environment: Environment) -> float:
    """Return what a million recognitions take, network and log aside."""
    origin = environment.function_memory_mb / 1024 * _ORIGIN_SECONDS * 1e6 * _LAMBDA_GIGABYTE_SECOND + _LAMBDA_MILLION
    edge = _EDGE_GIGABYTES * _EDGE_SECONDS * 1e6 * _EDGE_GIGABYTE_SECOND + _EDGE_INVOCATIONS * _EDGE_MILLION
    return origin + edge + _API_MILLION + _CLOUDFRONT_MILLION + _FIREWALL_MILLION


def table() -> str:
    """Return all environments side by side, in Markdown."""
    environments = list(ENVIRONMENTS.values())
    columns = [list(costs(environment)) for environment in environments]
    rows = [_row(same[0].name, same[0].formula, [each.dollars for each in same]) for same in zip(*columns, strict=True)]
    rows.append(_row("**all of it, nobody asking**", "", [sum(cost.dollars for cost in column) for column in columns]))
    rows.append(_row("Aurora and Valkey at their most", "as above, by the most", [most(each) for each in environments]))
    rows.append(_row("a million recognitions", "see costs.py", [million(each) for each in environments]))
    head = f"| a month, in dollars | formula | {' | '.join(each.name for each in environments)} |"
    return "\n".join([head, f"|---|---|{'---:|' * len(columns)}", *rows])


def _row(name: str, formula: str, dollars: list[float]) -> str:
    return f"| {name} | {formula} | {' | '.join(f'{each:,.2f}' for each in dollars)} |"


def _aurora(units: float, instances: int) -> float:
    return units * instances * _HOURS * _ACU_HOUR


def _publication(environment: Environment) -> float:
    hourly = environment.publication_vcpus * _FARGATE_CORE_HOUR
    hourly += environment.publication_memory_mb / 1024 * _FARGATE_GIGABYTE_HOUR
    return JOBS * _HOURS / environment.publication_hours * _PUBLICATION_HOURS * hourly


if __name__ == "__main__":
    print(table())
