"""Who watches: alarms after infra/observability/alerts.yml, a dashboard, and a canary that asks as a listener would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.cdk.environments import Environment
from infra.cdk.stacks.alarms import Alarms, Limit
from infra.cdk.stacks.canary import canary
from infra.cdk.stacks.data import Data
from infra.cdk.stacks.edge import Edge
from infra.cdk.stacks.ingest import Ingest
from infra.cdk.stacks.publication import Publication
from infra.cdk.stacks.recognition import Recognition
from infra.cdk.stacks.stack import SonicaStack
from infra.cdk.stacks.wavelength import Wavelength

_MINUTE = cdk.Duration.minutes(1)
_FIVE_MINUTES = cdk.Duration.minutes(5)
_HOUR = cdk.Duration.hours(1)
_SATURATED = 0.8
_NEARLY_FULL_PERCENT = 90
_WAITING_SECONDS_MAX = 3600  # a song put into the bucket is in the catalogue by then


@dataclass(frozen=True, slots=True)
class Watched:
    """The stacks that are looked at."""

    data: Data
    recognition: Recognition
    ingest: Ingest
    publication: Publication
    edge: Edge
    zones: Sequence[Wavelength]


class Observability(SonicaStack):
    """Metrics of the log, alarms, canary, dashboard."""

    def __init__(self, scope: Construct, environment: Environment, watched: Watched) -> None:
        super().__init__(scope, environment)
        self._watched = watched
        self._of_requests = {
            name: self._counted(name, pattern)
            for name, pattern in {
                "Requests": '{ $.event = "request" && $.route != "/readyz" }',
                "Failures": '{ $.event = "request" && $.route != "/readyz" && $.status >= 500 }',
                "Refusals": '{ $.event = "request" && $.status = 429 }',
                "Matches": '{ $.event = "request" && $.outcome = "match" }',
                "NoMatches": '{ $.event = "request" && $.outcome = "no_match" }',
                "IndexBehind": '{ $.event = "index_cannot_catch_up" }',
                "BundlesNotLoaded": '{ $.event = "bundle_not_loaded" }',
                "PartsAway": '{ $.event = "*_left_alone" || $.event = "quotas_in_memory" }',
            }.items()
        }
        self.alarms = Alarms(self, watched.data.messages_key)
        self.canary = canary(self, watched.data)
        self._of_service(environment)
        self._of_parts(environment)
        self._of_work()
        self._dashboard(environment)

    def _counted(self, name: str, pattern: str) -> cloudwatch.Metric:
        """Return how many lines of the function's log are of this kind."""
        namespace = f"Sonica/{self.environment_values.name}"
        logs.MetricFilter(
            self,
            name,
            log_group=self._watched.recognition.lines,
            filter_pattern=logs.FilterPattern.literal(pattern),
            metric_namespace=namespace,
            metric_name=name,
            metric_value="1",
            default_value=0,
        )
        return cloudwatch.Metric(namespace=namespace, metric_name=name, statistic="Sum", period=_FIVE_MINUTES)

    def _of_service(self, environment: Environment) -> None:
        """Alarms of what listeners notice."""
        add, alias, counted = self.alarms.add, self._watched.recognition.alias, self._of_requests
        heard = self.canary.metric_success_percent(period=cdk.Duration.minutes(environment.canary_minutes))
        add(
            "SonicaDown",
            "The canary gets no answer, an origin without songs, or a wrong one. Its run says which.",
            Limit(heard, 100, minutes=2 * environment.canary_minutes, lower=True, silence_is_bad=True),
        )
        add(
            "SonicaErrors",
            "More than one request in a hundred fails. The log's `code` says why; `catalogue_unavailable` is Aurora.",
            Limit(_ratio(counted["Failures"], counted["Requests"]), 0.01, minutes=5),
        )
        add(
            "SonicaFunctionErrors",
            "The function raises, runs out of memory or of time, or does not start: no answer of its own.",
            Limit(alias.metric_errors(period=_FIVE_MINUTES), 0, minutes=5),
        )
        slowest = alias.metric_duration(statistic="p95", period=_FIVE_MINUTES)
        add(
            "SonicaSlow",
            "One request in twenty takes too long. `timings_ms` in the answers says which step of a recognition.",
            Limit(slowest, 1000 * environment.slow_seconds, minutes=10),
        )
        self.alarms.add_unusual(
            "SonicaFindsLess",
            "Fewer clips are found than used to be: songs were lost, clients send something else, a version is worse.",
            metric=_share(counted["Matches"], counted["NoMatches"]),
            minutes=120,
        )
        add(
            "SonicaRefusesCallers",
            "One request in five is over a quota: somebody is abusive, or SONICA_RATE_LIMIT_* is too low.",
            Limit(_ratio(counted["Refusals"], counted["Requests"]), 0.2, minutes=15),
        )

    def _of_parts(self, environment: Environment) -> None:
        """Alarms of what the service stands on."""
        add, function, counted = self.alarms.add, self._watched.recognition.function, self._of_requests
        add(
            "SonicaSaturated",
            "Nearly all of the function's concurrency is in use: soon requests are turned away.",
            Limit(_under_way(function), _SATURATED * environment.function_concurrency_max, minutes=2),
        )
        add(
            "SonicaSheds",
            "Requests are turned away: more are sent than the function's concurrency serves.",
            Limit(function.metric_throttles(period=_MINUTE), 0, minutes=2),
        )
        add(
            "SonicaIndexStale",
            "The index does not follow the catalogue: new songs are not found. The log says why.",
            Limit(counted["IndexBehind"], 0, minutes=15),
        )
        add(
            "SonicaBundleNotInPlace",
            "What was published is refused or cannot be fetched: the index of before answers. The log says why.",
            Limit(counted["BundlesNotLoaded"], 0, minutes=15),
        )
        add(
            "SonicaPartAway",
            "The database, the cache or the shared quotas are done without: answers go on, poorer.",
            Limit(counted["PartsAway"], 0, minutes=10),
        )
        used = self._watched.data.database.metric("ACUUtilization", statistic="Average", period=_FIVE_MINUTES)
        add(
            "SonicaDatabaseFull",
            "Aurora is at the most that it may scale to.",
            Limit(used, _NEARLY_FULL_PERCENT, minutes=15),
        )
        for zone in self._watched.zones:
            add(
                f"SonicaNodesDown-{zone.label}",
                "Fewer nodes than there should be are healthy in this zone.",
                Limit(zone.healthy_nodes(_MINUTE), zone.nodes_min, minutes=5, lower=True, silence_is_bad=True),
            )

    def _of_work(self) -> None:
        """Alarms of what goes on behind the requests."""
        add, ingest, publication = self.alarms.add, self._watched.ingest, self._watched.publication
        oldest = ingest.queue.metric_approximate_age_of_oldest_message(period=_FIVE_MINUTES)
        add(
            "SonicaIngestWaits",
            "A song has waited for an hour to be ingested.",
            Limit(oldest, _WAITING_SECONDS_MAX, minutes=15),
        )
        add(
            "SonicaSongsRefused",
            "Songs that could not be ingested wait among the dead letters to be looked at.",
            Limit(_letters(ingest.dead_letters), 0, minutes=5),
        )
        add(
            "SonicaPublicationNotStarted",
            "The schedule could not start its job: the dead letter says why.",
            Limit(_letters(publication.dead_letters), 0, minutes=5),
        )
        events.Rule(
            self,
            "PublicationFails",
            description="Sonica: a bundle could not be built or published",
            event_pattern=events.EventPattern(
                source=["aws.batch"],
                detail_type=["Batch Job State Change"],
                detail={"status": ["FAILED"], "jobQueue": [publication.jobs.job_queue_arn]},
            ),
            targets=[targets.SnsTopic(self.alarms.topic)],
        )

    def _dashboard(self, environment: Environment) -> None:
        watched, counted = self._watched, self._of_requests
        alias, api = watched.recognition.alias, watched.recognition.api
        cache = {"serverlessCacheName": f"sonica-{environment.name}"}
        edge = watched.edge.distribution
        rows: list[tuple[str, list[cloudwatch.IMetric]]] = [
            ("Requests at the edge", [edge.metric_requests(), edge.metric5xx_error_rate()]),
            ("Requests at the origin", [counted["Requests"], counted["Failures"], counted["Refusals"]]),
            ("Outcomes", [counted["Matches"], counted["NoMatches"]]),
            ("Time, ms", [alias.metric_duration(statistic=each) for each in ("p50", "p95", "p99")]),
            ("API: time, ms", [api.metric_latency(statistic="p95"), api.metric_integration_latency(statistic="p95")]),
            ("Under way", [_under_way(watched.recognition.function)]),
            ("Aurora", [watched.data.database.metric(each) for each in ("ACUUtilization", "DatabaseConnections")]),
            ("Valkey", [_of_cache(each, cache) for each in ("BytesUsedForCache", "ElastiCacheProcessingUnits")]),
            ("Ingest", [
                watched.ingest.queue.metric_approximate_number_of_messages_visible(),
                watched.ingest.dead_letters.metric_approximate_number_of_messages_visible(),
            ]),
        ]  # fmt: skip
        for zone in watched.zones:
            rows.append((f"Nodes: {zone.label}", [zone.healthy_nodes(_MINUTE)]))
        board = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=f"sonica-{environment.name}")
        board.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", alarms=self.alarms.made, width=24, height=4))
        board.add_widgets(*(cloudwatch.GraphWidget(title=title, left=metrics, width=8) for title, metrics in rows))


def _under_way(function: lambda_.Function) -> cloudwatch.Metric:
    return function.metric("ConcurrentExecutions", statistic="Maximum", period=_MINUTE)


def _letters(queue: sqs.Queue) -> cloudwatch.Metric:
    return queue.metric_approximate_number_of_messages_visible(statistic="Maximum", period=_FIVE_MINUTES)


def _ratio(part: cloudwatch.Metric, whole: cloudwatch.Metric) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression="IF(whole > 0, part / whole, 0)", using_metrics={"part": part, "whole": whole}, period=_FIVE_MINUTES
    )


def _share(part: cloudwatch.Metric, rest: cloudwatch.Metric) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression="part / (part + rest)", using_metrics={"part": part, "rest": rest}, period=_HOUR
    )


def _of_cache(name: str, dimensions: dict[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(namespace="AWS/ElastiCache", metric_name=name, dimensions_map=dimensions)
