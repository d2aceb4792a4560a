"""Environments differ by what their values say, and by nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from infra.cdk.environments import DEV, ENVIRONMENTS, PROD, STAGING, Environment
from tests.infra.cdk.conftest import Assembly, Synthesis

Value = Callable[[Environment], Any]

# Where templates may differ: the part, the resource's name, the path within it, and what it must be in each.
SIZES: dict[str, Value] = {
    r"Data/Database/.*MinCapacity": lambda e: e.database_acu_min,
    r"Data/Database/.*MaxCapacity": lambda e: e.database_acu_max,
    r"Data/Database/Properties/BackupRetentionPeriod": lambda e: e.database_backup_days,
    r"Data/Database/Properties/DeletionProtection": lambda e: e.deletion_protection,
    r"Data/Cache/.*DataStorage/Maximum": lambda e: e.cache_gigabytes_max,
    r"Data/Cache/.*ECPUPerSecond/Maximum": lambda e: e.cache_units_per_second_max,
    r"\w+/\w+/.*NoncurrentVersionExpiration/NoncurrentDays": lambda e: e.versions_days,
    r"\w+/(AccessLogs|Accesses)/.*ExpirationInDays": lambda e: e.logs_days,
    r"[\w-]+/\w+Logs/Properties/RetentionInDays": lambda e: e.logs_days,
    r"[\w-]+/\w+/(Deletion|UpdateReplace)Policy": lambda e: "Retain" if e.deletion_protection else "Delete",
    r"Recognition/Recognizer/Properties/MemorySize": lambda e: e.function_memory_mb,
    r"Recognition/Recognizer/.*SONICA_CACHE_BYTES_MAX": lambda e: str(e.function_memory_mb * 62_500),
    r"Recognition/Recognizer/Properties/ReservedConcurrentExecutions": lambda e: e.function_concurrency_max,
    r"Recognition/Shift/Properties/DeploymentConfigName": lambda e: e.function_shift,
    r"Ingest/Worker.*/MaximumConcurrency": lambda e: e.ingest_concurrency_max,
    r"Publication/Publish(Hot)?/.*ResourceRequirements/0/Value": lambda e: str(e.publication_memory_mb),
    r"Publication/Publish(Hot)?/.*ResourceRequirements/1/Value": lambda e: str(e.publication_vcpus),
    r"Publication/Schedule/Properties/ScheduleExpression": lambda e: _every(e.publication_hours),
    r"Edge/Firewall/Properties/Rules/0/.*/Limit": lambda e: e.recognitions_per_address_max,
    r"Edge/Firewall/Properties/Rules/1/.*/Limit": lambda e: e.requests_per_address_max,
    r"Wavelength-\w+/Vpc/Properties/CidrBlock": lambda e: e.wavelength_zones[0].cidr,
    r"Wavelength-\w+/Subnet/Properties/CidrBlock": lambda e: e.wavelength_zones[0].cidr,
    r"Wavelength-\w+/Task/.*Environment/\d+/Value": lambda e: e.wavelength_zones[0].cidr,
    r"Wavelength-\w+/Machine/.*InstanceType": lambda e: e.wavelength_zones[0].instance_type,
    r"Wavelength-\w+/Machines/Properties/MinSize": lambda e: str(e.wavelength_zones[0].nodes_min),
    r"Wavelength-\w+/Machines/Properties/MaxSize": lambda e: str(e.wavelength_zones[0].nodes_max),
    r"Wavelength-\w+/Balancer/.*LoadBalancerAttributes/1/Value": lambda e: str(e.deletion_protection).lower(),
    r"Observability/CanaryRun/.*(Success|Failure)RetentionPeriod": lambda e: e.logs_days,
    r"Observability/CanaryRun/.*Schedule/Expression": lambda e: f"rate({e.canary_minutes} minutes)",
    r"Observability/SonicaDown/Properties/Period": lambda e: 60 * e.canary_minutes,
    r"Observability/SonicaSlow/Properties/Threshold": lambda e: 1000 * e.slow_seconds,
    r"Observability/SonicaSaturated/Properties/Threshold": lambda e: 0.8 * e.function_concurrency_max,
    r"Observability/SonicaNodesDownbos/Properties/Threshold": lambda e: e.wavelength_zones[0].nodes_min,
}
# What there is more or less of, as a value says.
COUNTED = {
    r"Network/Vpc(Public|Private|Data)Subnet[23]\w*": "availability_zones and nat_gateways",
    r"Data/Databasereader1": "database_readers",
    r"Observability/SonicaNodesDown\w+": "wavelength_zones",
    r"Wavelength-\w+/\w+": "wavelength_zones",
}
# What follows from those: where subnets are listed or cut, and the dashboard, which shows all of it.
FOLLOWING = (
    r"Network/Vpc\w*/.*(CidrBlock|AvailabilityZone|Ref|Value)",
    r"\w+/\w+/.*(Subnets|SubnetIds|SubnetIDs|SubnetId|VpcSubnetIds)/.*",
    r"Observability/Dashboard/Properties/DashboardBody/.*",
)


def test_no_part_looks_at_the_environments_name(assemblies: dict[str, Assembly], synthesis: Synthesis) -> None:
    renamed = synthesis(replace(PROD, name="other"))

    assert normalised(renamed) == normalised(assemblies["prod"])


def test_environments_differ_only_where_a_value_says_so(assemblies: dict[str, Assembly]) -> None:
    met = set()
    for names in pairwise(ENVIRONMENTS):
        left, right = (normalised(assemblies[name]) for name in names)
        alone = left.keys() ^ right.keys()
        assert not [path for path in alone if not fits(path, COUNTED)]
        for resource in left.keys() & right.keys():
            for path, values in differences(resource, left[resource], right[resource]):
                said = fits(path, SIZES)
                assert said or fits(path, FOLLOWING), f"{path}: {values} for no reason"
                if said:
                    assert values == [SIZES[said](ENVIRONMENTS[name]) for name in names], path
                    met.add(said)

    assert met == SIZES.keys()


def test_there_is_as_much_of_everything_as_the_values_say(assembly: Assembly) -> None:
    environment = assembly.environment

    def count(kind: str) -> int:
        return len(list(assembly.resources(kind)))

    assert count("AWS::EC2::NatGateway") == environment.nat_gateways
    assert count("AWS::RDS::DBInstance") == 1 + environment.database_readers
    assert count("AWS::EC2::CarrierGateway") == len(environment.wavelength_zones)
    zones = {each.properties["AvailabilityZone"] for each in assembly.resources("AWS::EC2::Subnet")}
    assert zones == {*environment.availability_zones, *(zone.zone for zone in environment.wavelength_zones)}


def test_networks_of_an_account_do_not_overlap() -> None:
    from ipaddress import ip_network

    for environment in ENVIRONMENTS.values():
        networks = [ip_network(environment.vpc_cidr), *(ip_network(zone.cidr) for zone in environment.wavelength_zones)]
        assert not [(a, b) for a in networks for b in networks if a is not b and a.overlaps(b)]


def test_production_is_the_careful_one() -> None:
    assert PROD.deletion_protection
    assert PROD.nat_gateways == len(PROD.availability_zones) == 3
    assert PROD.database_backup_days > STAGING.database_backup_days > DEV.database_backup_days
    with pytest.raises(AttributeError):
        PROD.name = "dev"  # type: ignore[misc]


def _every(hours: int) -> str:
    return f"rate({hours} hours)" if hours % 24 else f"rate({hours // 24} day)"


def fits(path: str, patterns: Iterable[str]) -> str | None:
    """Return the pattern that a path is of."""
    return next((pattern for pattern in patterns if re.fullmatch(pattern, path)), None)


def normalised(assembly: Assembly) -> dict[str, Any]:
    """Return the resources, `part/name`, without what names an environment and without hashes, which follow."""
    environment = assembly.environment
    hashed = rf"(Sonica){environment.name}([A-Za-z]*?(?:Origin1)?)[0-9A-F]{{8}}"
    text = re.sub(hashed, r"\1_\2", json.dumps(assembly.parts))
    text = re.sub(r"(CurrentVersion)[0-9A-F]{8}[0-9a-f]{32}", r"\1", text)
    for name in re.findall(r'"(\w+[0-9A-F]{8})": \{"Type"', text):
        text = text.replace(name, name[:-8])
    text = text.replace("".join(filter(str.isalnum, environment.alarm_address)), "")  # of a subscription's id
    for name in (environment.domain_name, environment.hosted_zone_id, environment.account, environment.alarm_address):
        text = text.replace(name, "_")
    text = re.sub(rf"\b{environment.name}\b|(?<=[Ss]onica){environment.name}", "_", text)
    text = re.sub(r"[0-9a-f]{32,64}|(?<=[A-Za-z])[0-9A-F]{8}(?=[A-Z\"])", "", text)
    parts: dict[str, Any] = json.loads(text)
    return {f"{part}/{name}": each for part, found in parts.items() for name, each in found["Resources"].items()}


def differences(path: str, left: Any, right: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the paths at which two values differ, and both; None where there is none."""
    one, other = dict(_leaves(path, left)), dict(_leaves(path, right))
    for each in sorted(one.keys() | other.keys()):
        if one.get(each) != other.get(each):
            yield each, [one.get(each), other.get(each)]


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inside is None:
        yield path, value
        return
    for key, inner in inside:
        yield from _leaves(f"{path}/{key}", inner)
