"""The canary: functions/canary, run by CloudWatch Synthetics as often as the environment says."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_synthetics as synthetics

from infra.cdk.stacks.buckets import PrivateBucket
from infra.cdk.stacks.data import Data
from infra.cdk.stacks.stack import SonicaStack, acknowledge

_CODE = Path(__file__).parents[1] / "functions" / "canary"
_NAMESPACE = "CloudWatchSynthetics"


def canary(stack: SonicaStack, data: Data) -> synthetics.Canary:
    """Return a new canary that asks by the public name, with an API key of its own."""
    environment = stack.environment_values
    name = f"sonica-{environment.name}"
    key = _api_key(stack, data)
    artifacts = PrivateBucket(stack, "Canary", key=data.key, access_logs=data.access_logs)
    role = _role(stack, name)
    artifacts.let_write(role)
    role.add_to_policy(iam.PolicyStatement(actions=["s3:GetBucketLocation"], resources=[artifacts.bucket_arn]))
    role.add_to_policy(iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[key.secret_arn]))
    return synthetics.Canary(
        stack,
        "CanaryRun",
        canary_name=name,
        runtime=synthetics.Runtime.SYNTHETICS_PYTHON_SELENIUM_7_0,
        test=synthetics.Test.custom(code=synthetics.Code.from_asset(str(_CODE)), handler="canary.handler"),
        schedule=synthetics.Schedule.rate(cdk.Duration.minutes(environment.canary_minutes)),
        timeout=cdk.Duration.seconds(60),
        role=role,
        artifacts_bucket_location=synthetics.ArtifactsBucketLocation(bucket=artifacts),
        success_retention_period=cdk.Duration.days(environment.logs_days),
        failure_retention_period=cdk.Duration.days(environment.logs_days),
        environment_variables={
            "SONICA_URL": f"https://{environment.domain_name}",
            "CANARY_KEY": key.secret_arn,
        },
    )


def _api_key(stack: SonicaStack, data: Data) -> secretsmanager.Secret:
    secret = secretsmanager.Secret(
        stack,
        "ApiKey",
        secret_name=f"sonica/{stack.environment_values.name}/canary-key",
        encryption_key=kms.Key.from_key_arn(stack, "Key", data.key.key_arn),
    )
    acknowledge(secret, {"SMG4": "`sonica keys rotate` gives a new one, which is put here: README."})
    return secret


def _role(stack: SonicaStack, name: str) -> iam.Role:
    role = iam.Role(stack, "CanaryRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    lines = f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:log-group:/aws/lambda/cwsyn-{name}-*"
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], resources=[lines]
        )
    )
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],  # metrics have no names for policies
            conditions={"StringEquals": {"cloudwatch:namespace": _NAMESPACE}},
        )
    )
    written = lines.replace(stack.partition, "<AWS::Partition>")
    acknowledge(
        role,
        {
            f"IAM5[Resource::{written}]": "AWS ends the names of a canary's groups as it likes.",
            "IAM5[Resource::*]": f"Metrics have no names in policies; the condition keeps it to {_NAMESPACE}.",
        },
    )
    return role
