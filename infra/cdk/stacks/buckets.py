"""Buckets: versioned, encrypted by our key, closed to the public, by TLS alone."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from infra.cdk.stacks.stack import SonicaStack, acknowledge

_UPLOAD_DAYS = 2  # parts of an upload that was given up


class PrivateBucket(s3.Bucket):
    """What is overwritten or deleted can be had back for as long as the environment says."""

    def __init__(self, stack: SonicaStack, name: str, *, key: kms.IKey, access_logs: s3.IBucket) -> None:
        environment = stack.environment_values
        self.name = f"sonica-{environment.name}-{name.lower()}-{environment.account}"
        self._key = key
        super().__init__(
            stack,
            name,
            bucket_name=self.name,
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=cdk.RemovalPolicy.RETAIN,
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=cdk.Duration.days(environment.versions_days),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(_UPLOAD_DAYS),
                    expired_object_delete_marker=True,
                )
            ],
        )
        # Not by the bucket itself, which would have the logs' stack wait for this one.
        self.described.logging_configuration = s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=access_logs.bucket_name, log_file_prefix=f"{name.lower()}/"
        )

    @property
    def described(self) -> s3.CfnBucket:
        """What CloudFormation is told."""
        described = self.node.default_child
        assert isinstance(described, s3.CfnBucket)
        return described

    def let_read(self, role: iam.Role) -> None:
        """Let a role read each object, and list them."""
        self._let(role, ["s3:GetObject"], ["kms:Decrypt"])

    def let_write(self, role: iam.Role) -> None:
        """Let a role read, write and delete each object, and list them; versions stay."""
        actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        self._let(role, actions, ["kms:Decrypt", "kms:GenerateDataKey"])

    def _let(self, role: iam.Role, actions: list[str], of_key: list[str]) -> None:
        arn = f"arn:{self.stack.partition}:s3:::{self.name}"
        role.add_to_policy(iam.PolicyStatement(actions=["s3:ListBucket"], resources=[arn]))
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[f"{arn}/*"]))
        role.add_to_policy(iam.PolicyStatement(actions=of_key, resources=[self._key.key_arn]))
        rule = f"IAM5[Resource::arn:<AWS::Partition>:s3:::{self.name}/*]"
        acknowledge(role, {rule: "Every object of this bucket, for it is there for nothing else."})


def logs_bucket(stack: SonicaStack, name: str, *, ownership: s3.ObjectOwnership) -> s3.Bucket:
    """Return a new bucket for what AWS logs itself, which cannot be encrypted by a key of ours."""
    bucket = s3.Bucket(
        stack,
        name,
        versioned=True,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        object_ownership=ownership,
        removal_policy=stack.removal_policy(),
        lifecycle_rules=[
            s3.LifecycleRule(
                expiration=cdk.Duration.days(stack.environment_values.logs_days),
                noncurrent_version_expiration=cdk.Duration.days(1),
                abort_incomplete_multipart_upload_after=cdk.Duration.days(_UPLOAD_DAYS),
            )
        ],
    )
    bucket.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
            actions=["s3:PutObject"],
            resources=[bucket.arn_for_objects("*")],
            conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
        )
    )
    acknowledge(bucket, {"S1": "This is where accesses are logged; logging those would never end."})
    return bucket
