"""The environments as values: whatever differs between dev, staging and prod is said here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WavelengthZone:
    """A zone within a carrier's network, with a VPC of its own; its group must be opted into once, by hand."""

    zone: str
    """Its name, such as `us-east-1-wl1-bos-wlz-1`; the group that addresses belong to has the same."""
    cidr: str
    """The VPC's addresses, all of them the zone's."""
    instance_type: str
    """What the zone offers: t3.medium, t3.xlarge, r5.2xlarge in most."""
    nodes_min: int
    nodes_max: int

    @property
    def label(self) -> str:
        """Its city: `bos`."""
        return self.zone.split("-")[4]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One stage of the deployment."""

    name: str
    account: str
    region: str
    availability_zones: tuple[str, ...]
    vpc_cidr: str
    nat_gateways: int
    """One is cheap and a single point of failure; one for each zone is neither."""

    domain_name: str
    """What listeners ask; in a carrier's network `bos.edge.` and the like before it."""
    hosted_zone_id: str
    hosted_zone_name: str
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_jwks: str | None = None
    """SONICA_JWT_*; without them API keys are the only credentials."""
    origin_keys: tuple[int, ...] = (1,)
    """Numbers of the keys by which the origin knows CloudFront; the last is sent. To rotate: (1, 2), then (2,)."""

    deletion_protection: bool
    """Of database and stacks; and whether what holds data outlives its stack."""
    database_acu_min: float
    """Capacity units of 2 GB; 0 sleeps after a while of nothing, and wakes in some 15 s."""
    database_acu_max: float
    database_readers: int
    """In other zones; the first takes over when the writer's is lost."""
    database_backup_days: int
    cache_gigabytes_max: int
    cache_units_per_second_max: int
    """ElastiCache processing units: about one for each kilobyte that is read or written."""
    versions_days: int
    """How long what was overwritten or deleted in a bucket can be had back."""
    logs_days: int

    function_memory_mb: int
    """1,769 MB is a core; the index must fit beside 500 MB of program and requests."""
    function_concurrency_max: int
    """Kept for recognitions, and no more: each holds SONICA_DATABASE_POOL_MAX connections at most."""
    function_shift: str
    """How a new version takes over: a configuration of CodeDeploy, which goes back when an alarm sounds."""
    ingest_concurrency_max: int
    publication_vcpus: float
    publication_memory_mb: int
    publication_hours: int
    """How often the index is built and published."""

    requests_per_address_max: int
    """In five minutes; phone networks share addresses."""
    recognitions_per_address_max: int
    wavelength_zones: tuple[WavelengthZone, ...]

    alarm_address: str
    """Who is written to."""
    slow_seconds: float
    """An alarm sounds when one recognition in twenty takes longer."""
    canary_minutes: int

    def node_domain_name(self, zone: WavelengthZone) -> str:
        """Return what listeners in a carrier's network ask."""
        return f"{zone.label}.edge.{self.domain_name}"


DEV = Environment(
    name="dev",
    account="111111111111",
    region="us-east-1",
    availability_zones=("us-east-1a", "us-east-1b"),
    vpc_cidr="10.10.0.0/16",
    nat_gateways=1,
    domain_name="dev.sonica.example.com",
    hosted_zone_id="Z0000000000000000DEV",
    hosted_zone_name="dev.sonica.example.com",
    deletion_protection=False,
    database_acu_min=0,
    database_acu_max=2,
    database_readers=0,
    database_backup_days=1,
    cache_gigabytes_max=1,
    cache_units_per_second_max=1_000,
    versions_days=7,
    logs_days=7,
    function_memory_mb=1_769,
    function_concurrency_max=5,
    function_shift="CodeDeployDefault.LambdaAllAtOnce",
    ingest_concurrency_max=2,
    publication_vcpus=2,
    publication_memory_mb=4_096,
    publication_hours=24,
    requests_per_address_max=2_000,
    recognitions_per_address_max=500,
    wavelength_zones=(),
    alarm_address="sonica-dev@example.com",
    slow_seconds=1.0,
    canary_minutes=60,
)

STAGING = Environment(
    name="staging",
    account="222222222222",
    region="us-east-1",
    availability_zones=("us-east-1a", "us-east-1b"),
    vpc_cidr="10.20.0.0/16",
    nat_gateways=1,
    domain_name="staging.sonica.example.com",
    hosted_zone_id="Z0000000000000STAGING",
    hosted_zone_name="staging.sonica.example.com",
    deletion_protection=False,
    database_acu_min=0.5,
    database_acu_max=4,
    database_readers=1,
    database_backup_days=7,
    cache_gigabytes_max=2,
    cache_units_per_second_max=5_000,
    versions_days=30,
    logs_days=30,
    function_memory_mb=3_538,
    function_concurrency_max=20,
    function_shift="CodeDeployDefault.LambdaCanary10Percent5Minutes",
    ingest_concurrency_max=5,
    publication_vcpus=4,
    publication_memory_mb=16_384,
    publication_hours=24,
    requests_per_address_max=2_000,
    recognitions_per_address_max=500,
    wavelength_zones=(
        WavelengthZone(
            zone="us-east-1-wl1-bos-wlz-1", cidr="10.21.0.0/24", instance_type="t3.medium", nodes_min=1, nodes_max=1
        ),
    ),
    alarm_address="sonica-staging@example.com",
    slow_seconds=0.5,
    canary_minutes=15,
)

PROD = Environment(
    name="prod",
    account="333333333333",
    region="us-east-1",
    availability_zones=("us-east-1a", "us-east-1b", "us-east-1c"),
    vpc_cidr="10.30.0.0/16",
    nat_gateways=3,
    domain_name="sonica.example.com",
    hosted_zone_id="Z000000000000000PROD",
    hosted_zone_name="sonica.example.com",
    deletion_protection=True,
    database_acu_min=2,
    database_acu_max=32,
    database_readers=1,
    database_backup_days=35,
    cache_gigabytes_max=20,
    cache_units_per_second_max=50_000,
    versions_days=90,
    logs_days=90,
    function_memory_mb=5_307,
    function_concurrency_max=200,
    function_shift="CodeDeployDefault.LambdaCanary10Percent5Minutes",
    ingest_concurrency_max=20,
    publication_vcpus=8,
    publication_memory_mb=61_440,
    publication_hours=6,
    requests_per_address_max=10_000,
    recognitions_per_address_max=2_000,
    wavelength_zones=(
        WavelengthZone(
            zone="us-east-1-wl1-bos-wlz-1", cidr="10.31.0.0/24", instance_type="t3.xlarge", nodes_min=2, nodes_max=4
        ),
        WavelengthZone(
            zone="us-east-1-wl1-atl-wlz-1", cidr="10.31.1.0/24", instance_type="t3.xlarge", nodes_min=2, nodes_max=4
        ),
    ),
    alarm_address="sonica-pages@example.com",
    slow_seconds=0.25,
    canary_minutes=5,
)

ENVIRONMENTS = {environment.name: environment for environment in (DEV, STAGING, PROD)}
