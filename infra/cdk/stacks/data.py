"""What must not be lost: the catalogue's database, the bundles, and the keys that they are encrypted by."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.cdk.environments import Environment
from infra.cdk.stacks.buckets import PrivateBucket, logs_bucket
from infra.cdk.stacks.keys import let_services_send, rotated_key
from infra.cdk.stacks.network import Network
from infra.cdk.stacks.stack import SonicaStack, acknowledge

_SECRET_DAYS = 30


class Data(SonicaStack):
    """Database, cache, bundles, keys."""

    def __init__(self, scope: Construct, environment: Environment, network: Network) -> None:
        super().__init__(scope, environment)
        self.key = rotated_key(self, "Data", "what is stored")
        self.messages_key = rotated_key(self, "Messages", "queues and topics")
        let_services_send(self.messages_key)
        self.access_logs = logs_bucket(self, "AccessLogs", ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED)
        self.bundles = PrivateBucket(self, "Bundles", key=self.key, access_logs=self.access_logs)
        self.database = self._database(environment, network)
        self.database_secret = self._database_secret()
        self.cache = self._cache(environment, network)

    @property
    def redis_url(self) -> str:
        """What SONICA_REDIS_URL takes: the serverless cache is a cluster and speaks TLS alone."""
        return f"rediss+cluster://{self.cache.attr_endpoint_address}:{self.cache.attr_endpoint_port}"

    def _database(self, environment: Environment, network: Network) -> rds.DatabaseCluster:
        name = f"sonica-{environment.name}"
        engine = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_16_13)
        lines = logs.LogGroup(
            self,
            "DatabaseLogs",
            log_group_name=f"/aws/rds/cluster/{name}/postgresql",  # the only name that Aurora writes to
            retention=self.log_retention,
            removal_policy=self.removal_policy(),
        )
        cluster = rds.DatabaseCluster(
            self,
            "Database",
            cluster_identifier=name,
            engine=engine,
            writer=_instance("writer"),
            readers=[
                _instance(f"reader{number}", scale_with_writer=number == 1)
                for number in range(1, environment.database_readers + 1)
            ],
            serverless_v2_min_capacity=environment.database_acu_min,
            serverless_v2_max_capacity=environment.database_acu_max,
            default_database_name="sonica",
            credentials=rds.Credentials.from_generated_secret(
                "sonica", secret_name=f"sonica/{environment.name}/database", encryption_key=self.key
            ),
            parameters={"rds.force_ssl": "1", "log_min_duration_statement": "1000"},
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[self._asked("DatabaseAccess", 5432, network)],
            storage_encrypted=True,
            storage_encryption_key=self.key,
            iam_authentication=True,
            backup=rds.BackupProps(retention=cdk.Duration.days(environment.database_backup_days)),
            copy_tags_to_snapshot=True,
            cloudwatch_logs_exports=["postgresql"],
            deletion_protection=environment.deletion_protection,
            removal_policy=cdk.RemovalPolicy.SNAPSHOT,
        )
        cluster.node.add_dependency(lines)
        cluster.add_rotation_single_user(
            automatically_after=cdk.Duration.days(_SECRET_DAYS),
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        )
        acknowledge(
            cluster,
            {
                "RDS10": "Deletion protection is a value of the environment: off where everything may be thrown away.",
                "RDS11": "Another port hides nothing: the security group lets callers alone in.",
            },
        )
        return cluster

    def _database_secret(self) -> secretsmanager.ISecret:
        secret = self.database.secret
        assert secret is not None
        return secret

    def _cache(self, environment: Environment, network: Network) -> elasticache.CfnServerlessCache:
        cache = elasticache.CfnServerlessCache
        return cache(
            self,
            "Cache",
            engine="valkey",
            major_engine_version="8",
            serverless_cache_name=f"sonica-{environment.name}",
            kms_key_id=self.key.key_arn,
            subnet_ids=[subnet.subnet_id for subnet in network.vpc.isolated_subnets],
            security_group_ids=[self._asked("CacheAccess", 6379, network).security_group_id],
            snapshot_retention_limit=0,  # it can all be computed anew
            cache_usage_limits=cache.CacheUsageLimitsProperty(
                data_storage=cache.DataStorageProperty(maximum=environment.cache_gigabytes_max, unit="GB"),
                ecpu_per_second=cache.ECPUPerSecondProperty(maximum=environment.cache_units_per_second_max),
            ),
        )

    def _asked(self, name: str, port: int, network: Network) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self, name, vpc=network.vpc, allow_all_outbound=False, description="Asked by callers alone"
        )
        group.add_ingress_rule(network.callers, ec2.Port.tcp(port), "callers")
        return group


def _instance(name: str, *, scale_with_writer: bool | None = None) -> rds.IClusterInstance:
    return rds.ClusterInstance.serverless_v2(
        name, enable_performance_insights=True, publicly_accessible=False, scale_with_writer=scale_with_writer
    )
