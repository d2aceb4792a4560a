"""Keys of ours: their material is new every ninety days, and they outlive their stacks, as what they encrypt may."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

from infra.cdk.stacks.stack import SonicaStack

_ROTATION_DAYS = 90
_SENDERS = ("s3", "events", "cloudwatch", "sns")  # services of AWS that send through our queues and topics


def rotated_key(stack: SonicaStack, name: str, purpose: str) -> kms.Key:
    """Return a new key."""
    environment = stack.environment_values
    return kms.Key(
        stack,
        f"{name}Key",
        alias=f"sonica-{environment.name}-{name.lower()}",
        description=f"Sonica {environment.name}: {purpose}",
        enable_key_rotation=True,
        rotation_period=cdk.Duration.days(_ROTATION_DAYS),
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )


def let_services_send(key: kms.Key) -> None:
    """Let AWS's own services, on behalf of this account, send what is encrypted by the key."""
    key.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal(f"{service}.amazonaws.com") for service in _SENDERS],
            actions=["kms:Decrypt", "kms:GenerateDataKey"],
            resources=["*"],  # in a key's policy: this key
            conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(key).account}},
        )
    )
