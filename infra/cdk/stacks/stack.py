"""What every stack has: its name, its place, its tags."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Construct, IConstruct

from infra.cdk.environments import Environment

_RETENTION = {
    7: logs.RetentionDays.ONE_WEEK,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
}


class SonicaStack(cdk.Stack):
    """A stack of one environment, `Sonica-<environment>-<part>`."""

    def __init__(
        self, scope: Construct, environment: Environment, *, part: str | None = None, region: str | None = None
    ) -> None:
        super().__init__(
            scope,
            f"Sonica-{environment.name}-{part or type(self).__name__}",
            env=cdk.Environment(account=environment.account, region=region or environment.region),
            termination_protection=environment.deletion_protection,
            cross_region_references=True,  # only where the regions differ
        )
        self.environment_values = environment
        cdk.Tags.of(self).add("sonica:environment", environment.name)

    def log_group(self, part: str, *, prefix: str = "/sonica/") -> logs.LogGroup:
        """Return a new group of log lines, which CloudWatch encrypts, kept as long as the environment says."""
        return logs.LogGroup(
            self,
            f"{part.title().replace('-', '')}Logs",
            log_group_name=f"{prefix}{self.environment_values.name}/{part}",
            retention=self.log_retention,
            removal_policy=self.removal_policy(),
        )

    @property
    def log_retention(self) -> logs.RetentionDays:
        """How long lines are kept. Raises KeyError for a number of days that CloudWatch does not know, or not we."""
        return _RETENTION[self.environment_values.logs_days]

    def removal_policy(self) -> cdk.RemovalPolicy:
        """Return what becomes of what holds data when its stack goes."""
        return cdk.RemovalPolicy.RETAIN if self.environment_values.deletion_protection else cdk.RemovalPolicy.DESTROY


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Say why findings of cdk-nag, by their rules' ids, are as they should be here and in what is below."""
    cdk.Validations.of(construct).acknowledge(
        *(cdk.Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=why) for rule, why in reasons.items())
    )
