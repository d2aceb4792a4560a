"""The functions of the origin's zip: each has a role of its own, which may do no more than it must."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm

from infra.cdk.stacks.data import Data
from infra.cdk.stacks.network import Network
from infra.cdk.stacks.stack import SonicaStack, acknowledge

RUNTIME = lambda_.Runtime.PYTHON_3_13
STAGED = {"L1": "The scripts stage for this runtime; a newer one is a change there first."}
UNZIPPED_MAX = 250_000_000  # by S3 a zip may itself be as large
_IN_A_NETWORK = [  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
]


@dataclass(frozen=True, slots=True)
class Region:
    """What functions and jobs of a region work with."""

    network: Network
    data: Data
    zip: Path
    """dist/lambda/origin.zip."""

    @property
    def subnets(self) -> ec2.SubnetSelection:
        """Where functions and jobs are: they reach out, nobody reaches in."""
        return ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)

    def settings(self, stack: SonicaStack) -> dict[str, str]:
        """Return what all of them are told."""
        return {
            "SONICA_AWS_REGION": stack.region,
            "SONICA_DATABASE_SECRET": self.data.database_secret.secret_arn,
            "SONICA_DATABASE_POOL_MAX": "2",  # a function answers one request at a time
            "SONICA_REDIS_URL": self.data.redis_url,
            "SONICA_BUNDLE_URL": bundle_url(self.data),
            "SONICA_BUNDLE_PUBLIC_KEYS": bundle_public_keys(stack),
        }

    def let_ask_database(self, role: iam.Role) -> None:
        """Let a role read the database's credentials."""
        secret = self.data.database_secret.secret_arn
        role.add_to_policy(iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[secret]))
        role.add_to_policy(iam.PolicyStatement(actions=["kms:Decrypt"], resources=[self.data.key.key_arn]))


def bundle_url(data: Data) -> str:
    """Return where bundles are published."""
    return f"s3://{data.bundles.name}/bundles"


def bundle_public_keys(stack: SonicaStack) -> str:
    """Return whose bundles are believed, as Parameter Store says at a deployment."""
    name = f"/sonica/{stack.environment_values.name}/bundle-public-keys"
    return ssm.StringParameter.value_for_string_parameter(stack, name)


def fitting(zipped: Path, *, zip_max: int) -> str:
    """Return the path of a zip that AWS takes. Raises ValueError for one over its limits, in bytes."""
    with zipfile.ZipFile(zipped) as archive:
        unzipped = sum(entry.file_size for entry in archive.infolist())
    size = zipped.stat().st_size
    if size > zip_max or unzipped > UNZIPPED_MAX:
        raise ValueError(f"{zipped}: {size:,} bytes, {unzipped:,} unzipped; AWS takes {zip_max:,} and {UNZIPPED_MAX:,}")
    return str(zipped)


def role_of(function: lambda_.Function) -> iam.Role:
    """Return the role that `origin_function` has given it."""
    role = function.role
    assert isinstance(role, iam.Role)
    return role


def function_role(stack: SonicaStack, name: str, lines: logs.ILogGroup) -> iam.Role:
    """Return a new role of a function, that writes its log and does nothing else yet."""
    role = iam.Role(stack, f"{name}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    lines.grant_write(role)
    return role


def origin_function(
    stack: SonicaStack,
    name: str,
    region: Region,
    *,
    lines: logs.ILogGroup,
    settings: Mapping[str, str],
    **properties: Any,  # noqa: ANN401  a function's own
) -> lambda_.Function:
    """Return a new function of the origin's zip, in the region's network, that may ask the database."""
    role = function_role(stack, name, lines)
    role.add_to_policy(iam.PolicyStatement(actions=_IN_A_NETWORK, resources=["*"]))
    acknowledge(role, {"IAM5[Resource::*]": "Lambda's network interfaces have no name before they are made."})
    region.let_ask_database(role)
    function = lambda_.Function(
        stack,
        name,
        runtime=RUNTIME,
        architecture=lambda_.Architecture.X86_64,
        code=lambda_.Code.from_asset(fitting(region.zip, zip_max=UNZIPPED_MAX)),
        role=role,
        vpc=region.network.vpc,
        vpc_subnets=region.subnets,
        security_groups=[region.network.callers],
        log_group=lines,
        environment={**region.settings(stack), **settings},
        **properties,
    )
    acknowledge(function, STAGED)
    return function
