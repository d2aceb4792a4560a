"""Publication: every so often jobs build the indexes, whole and hot, from the catalogue and publish them as bundles."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.cdk.environments import Environment
from infra.cdk.stacks.functions import Region
from infra.cdk.stacks.images import DeployedImage
from infra.cdk.stacks.stack import SonicaStack, acknowledge

_HOT_SONGS = 500
_COMMANDS = {  # of `sonica`, which the image starts
    "Publish": ["bundles", "publish"],
    "PublishHot": ["bundles", "publish", "--hot", str(_HOT_SONGS)],
}
_CORES_MAX = 16  # two of the largest jobs: the schedule's, and one that somebody starts
_HOURS_MAX = 6
_ATTEMPTS = 2
_DEAD_LETTER_DAYS = 14


class Publication(SonicaStack):
    """Compute environment, queue, job, schedule."""

    def __init__(self, scope: Construct, environment: Environment, region: Region) -> None:
        super().__init__(scope, environment)
        self.jobs = batch.JobQueue(
            self,
            "Jobs",
            compute_environments=[batch.OrderedComputeEnvironment(compute_environment=self._machines(region), order=1)],
        )
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=region.data.messages_key,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(_DEAD_LETTER_DAYS),
        )
        acknowledge(self.dead_letters, {"SQS3": "It is a queue of dead letters, of the schedule."})
        events.Rule(
            self,
            "Schedule",
            description="Sonica: publishes the catalogue's bundle",
            schedule=events.Schedule.rate(cdk.Duration.hours(environment.publication_hours)),
            targets=[self._target(job) for job in self._jobs(environment, region)],
        )

    def _target(self, job: batch.EcsJobDefinition) -> targets.BatchJob:
        return targets.BatchJob(
            self.jobs.job_queue_arn,
            self.jobs,
            job.job_definition_arn,
            job,
            job_name=job.node.id,
            dead_letter_queue=self.dead_letters,
        )

    def _machines(self, region: Region) -> batch.FargateComputeEnvironment:
        return batch.FargateComputeEnvironment(
            self,
            "Machines",
            vpc=region.network.vpc,
            vpc_subnets=region.subnets,
            security_groups=[region.network.callers],
            maxv_cpus=_CORES_MAX,
        )

    def _jobs(self, environment: Environment, region: Region) -> list[batch.EcsJobDefinition]:
        lines = self.log_group("publication")
        image = DeployedImage(self, "core")
        starts = iam.Role(self, "StartRole", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
        image.let_pull(starts)
        role = iam.Role(self, "JobRole", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
        region.let_ask_database(role)
        region.data.bundles.let_write(role)
        signed_by = batch.Secret.from_secrets_manager(self._signing_key(region))
        return [
            batch.EcsJobDefinition(
                self,
                name,
                container=batch.EcsFargateContainerDefinition(
                    self,
                    f"{name}Container",
                    image=ecs.ContainerImage.from_registry(image.uri),
                    command=command,
                    cpu=environment.publication_vcpus,
                    memory=cdk.Size.mebibytes(environment.publication_memory_mb),
                    execution_role=starts,
                    job_role=role,
                    logging=ecs.LogDriver.aws_logs(stream_prefix=name, log_group=lines),
                    readonly_root_filesystem=True,
                    volumes=[_room("data", "/data"), _room("tmp", "/tmp")],  # noqa: S108
                    environment=region.settings(self),
                    secrets={"SONICA_BUNDLE_PRIVATE_KEY": signed_by},
                ),
                retry_attempts=_ATTEMPTS,
                timeout=cdk.Duration.hours(_HOURS_MAX),
            )
            for name, command in _COMMANDS.items()
        ]

    def _signing_key(self, region: Region) -> secretsmanager.Secret:
        """Return what bundles are signed by; README says how it gets its value."""
        secret = secretsmanager.Secret(
            self,
            "SigningKey",
            secret_name=f"sonica/{self.environment_values.name}/bundle-private-key",
            # As of an ARN, or what may read it would change the key's policy in a stack that comes before.
            encryption_key=kms.Key.from_key_arn(self, "Key", region.data.key.key_arn),
        )
        acknowledge(secret, {"SMG4": "It is rotated with its public key, in two steps: README."})
        return secret


def _room(name: str, path: str) -> batch.EcsVolume:
    """Return a folder that may be written, gone with the job."""
    return batch.EcsVolume.host(name=name, container_path=path, readonly=False)
