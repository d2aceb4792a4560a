"""Alarms of a stack, and the topic by which somebody learns of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions

from infra.cdk.stacks.stack import SonicaStack

_ALARM = cloudwatch.TreatMissingData.BREACHING
_NO_ALARM = cloudwatch.TreatMissingData.NOT_BREACHING


@dataclass(frozen=True, slots=True)
class Limit:
    """What a metric is to stay at or below, or with `lower` at or above; how long it may be beyond."""

    metric: cloudwatch.IMetric
    value: float
    minutes: int
    lower: bool = False
    silence_is_bad: bool = False


class Alarms:
    """Made one by one, each with what it means; `sonica-<environment>-<name>`."""

    def __init__(self, stack: SonicaStack, key: kms.IKey) -> None:
        self._stack = stack
        self.topic = sns.Topic(stack, "Alarms", master_key=key, enforce_ssl=True)
        self.topic.add_subscription(subscriptions.EmailSubscription(stack.environment_values.alarm_address))
        self.made: list[cloudwatch.AlarmBase] = []

    def add(self, name: str, meaning: str, limit: Limit) -> None:
        """Sound when the limit is exceeded."""
        operator = cloudwatch.ComparisonOperator
        self._add(
            cloudwatch.Alarm(
                self._stack,
                name,
                **self._named(name, meaning),
                metric=limit.metric,
                threshold=limit.value,
                comparison_operator=operator.LESS_THAN_THRESHOLD if limit.lower else operator.GREATER_THAN_THRESHOLD,
                evaluation_periods=_periods(limit.metric, limit.minutes),
                treat_missing_data=_ALARM if limit.silence_is_bad else _NO_ALARM,
            )
        )

    def add_unusual(self, name: str, meaning: str, *, metric: cloudwatch.IMetric, minutes: int) -> None:
        """Sound when the metric is far below what it used to be at such a time of the week."""
        self._add(
            cloudwatch.AnomalyDetectionAlarm(
                self._stack,
                name,
                **self._named(name, meaning),
                metric=metric,
                std_devs=3,
                comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_LOWER_THRESHOLD,
                evaluation_periods=_periods(metric, minutes),
                treat_missing_data=_NO_ALARM,
            )
        )

    def _named(self, name: str, meaning: str) -> dict[str, Any]:
        return {"alarm_name": f"sonica-{self._stack.environment_values.name}-{name}", "alarm_description": meaning}

    def _add(self, alarm: cloudwatch.AlarmBase) -> None:
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        alarm.add_ok_action(actions.SnsAction(self.topic))
        self.made.append(alarm)


def _periods(metric: cloudwatch.IMetric, minutes: int) -> int:
    """Return how many of the metric's periods that many minutes are, one at least."""
    described = metric.to_metric_config()
    if described.metric_stat is not None:
        seconds = described.metric_stat.period.to_seconds()
    else:
        assert described.math_expression is not None
        seconds = described.math_expression.period
    return max(1, int(minutes * 60 // seconds))
