"""Ingest: a song that is put into the bucket is in the catalogue soon after, or in the dead letters with its reason."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.cdk.environments import Environment
from infra.cdk.stacks.buckets import PrivateBucket
from infra.cdk.stacks.functions import Region, origin_function, role_of
from infra.cdk.stacks.stack import SonicaStack

_SONG_SECONDS_MAX = 300  # download, decoding and extraction of three hours of audio: a minute, fivefold
_MEMORY_MB = 3_538  # two cores
_ATTEMPTS = 5
_BATCH = 5
_DEAD_LETTER_DAYS = 14  # the most that SQS keeps
_VISIBLE_AFTER = 6  # functions' time-outs, as AWS asks for


class Ingest(SonicaStack):
    """Bucket, queue, workers, dead letters."""

    def __init__(self, scope: Construct, environment: Environment, region: Region) -> None:
        super().__init__(scope, environment)
        name = f"sonica-{environment.name}-arrivals"
        self.dead_letters = self._queue(
            "DeadLetters",
            region,
            retention_period=cdk.Duration.days(_DEAD_LETTER_DAYS),
            redrive_allow_policy=sqs.RedriveAllowPolicy(
                # By its name, for either queue would wait for the other.
                source_queues=[sqs.Queue.from_queue_arn(self, "Source", self.format_arn(service="sqs", resource=name))]
            ),
        )
        self.queue = self._queue(
            "Arrivals",
            region,
            queue_name=name,
            visibility_timeout=cdk.Duration.seconds(_VISIBLE_AFTER * _SONG_SECONDS_MAX),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=_ATTEMPTS),
        )
        self.bucket = self._bucket(environment, region)
        self.worker = self._worker(environment, region)

    def _queue(self, name: str, region: Region, **properties: Any) -> sqs.Queue:  # noqa: ANN401  a queue's own
        return sqs.Queue(
            self,
            name,
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=region.data.messages_key,
            enforce_ssl=True,
            **properties,
        )

    def _bucket(self, environment: Environment, region: Region) -> PrivateBucket:
        bucket = PrivateBucket(self, "Songs", key=region.data.key, access_logs=region.data.access_logs)
        told = self.queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.queue.queue_arn],
                conditions={
                    "ArnEquals": {"aws:SourceArn": f"arn:{self.partition}:s3:::{bucket.name}"},
                    "StringEquals": {"aws:SourceAccount": environment.account},
                },
            )
        )
        assert told.policy_dependable is not None
        bucket.node.add_dependency(told.policy_dependable)  # S3 asks at once whether it may
        bucket.described.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(event="s3:ObjectCreated:*", queue=self.queue.queue_arn)
            ]
        )
        return bucket

    def _worker(self, environment: Environment, region: Region) -> lambda_.Function:
        worker = origin_function(
            self,
            "Worker",
            region,
            lines=self.log_group("ingest"),
            description="Sonica: ingests songs",
            handler="backend.ingest_handler.handler",
            memory_size=_MEMORY_MB,
            ephemeral_storage_size=cdk.Size.gibibytes(4),  # of songs, while they are decoded
            timeout=cdk.Duration.seconds(_SONG_SECONDS_MAX),
            settings={},
        )
        self.bucket.let_read(role_of(worker))
        worker.add_event_source(
            sources.SqsEventSource(
                self.queue,
                batch_size=_BATCH,
                max_concurrency=environment.ingest_concurrency_max,
                report_batch_item_failures=True,
            )
        )
        return worker
