"""The edge: CloudFront with its firewall, its certificate and the three functions, in us-east-1 as AWS wants them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.cdk.environments import Environment
from infra.cdk.stacks.alarms import Alarms, Limit
from infra.cdk.stacks.buckets import logs_bucket
from infra.cdk.stacks.firewall import firewall
from infra.cdk.stacks.functions import RUNTIME, STAGED, fitting
from infra.cdk.stacks.keys import let_services_send, rotated_key
from infra.cdk.stacks.recognition import ORIGIN_KEY_HEADER, Recognition, origin_key_names
from infra.cdk.stacks.stack import SonicaStack, acknowledge

REGION = "us-east-1"
_MATCH_SECONDS_MAX = 300  # as edge_functions/lambda_at_edge/settings.py
_TLS_SECONDS = 63_072_000  # two years, as the origin-response function says
_ORIGIN_SECONDS = 30
_FUNCTIONS = Path(__file__).parents[1] / "functions"
_Event = cloudfront.LambdaEdgeEventType


@dataclass(frozen=True, slots=True)
class EdgeFunction:
    """A function of dist/edge and what AWS allows it."""

    name: str
    event: cloudfront.LambdaEdgeEventType
    memory_mb: int
    seconds: int
    zip_max: int


EDGE_FUNCTIONS = (
    EdgeFunction("viewer_request", _Event.VIEWER_REQUEST, memory_mb=128, seconds=5, zip_max=1_000_000),
    EdgeFunction("origin_request", _Event.ORIGIN_REQUEST, memory_mb=512, seconds=30, zip_max=50_000_000),
    EdgeFunction("origin_response", _Event.ORIGIN_RESPONSE, memory_mb=128, seconds=30, zip_max=50_000_000),
)


class Edge(SonicaStack):
    """Distribution, firewall, functions, names."""

    def __init__(self, scope: Construct, environment: Environment, recognition: Recognition, zips: Path) -> None:
        super().__init__(scope, environment, region=REGION)
        self._zone = route53.PublicHostedZone.from_hosted_zone_attributes(
            self, "Zone", hosted_zone_id=environment.hosted_zone_id, zone_name=environment.hosted_zone_name
        )
        self._at_edge = [self._function(each, zips / f"{each.name}.zip") for each in EDGE_FUNCTIONS]
        self._origin = self._origin_of(recognition)
        self._secured = self._response_headers()
        self.firewall = firewall(self, self.log_group("firewall", prefix="aws-waf-logs-sonica-"))
        self.distribution = self._distribution(environment)
        self._records(environment)
        self._watch()

    def _function(self, each: EdgeFunction, zipped: Path) -> cloudfront.EdgeLambda:
        """Return a numbered version at its event; Lambda@Edge has no environment, network or log group to name."""
        name = f"sonica-{self.environment_values.name}-{each.name.replace('_', '-')}"
        role = iam.Role(
            self,
            f"{_title(each.name)}Role",
            assumed_by=iam.CompositePrincipal(
                iam.ServicePrincipal("lambda.amazonaws.com"), iam.ServicePrincipal("edgelambda.amazonaws.com")
            ),
        )
        lines = f"arn:{self.partition}:logs:*:{self.account}:log-group:/aws/lambda/{REGION}.{name}:*"
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], resources=[lines]
            )
        )
        reason = "It logs in whatever region it runs, to its own group."
        acknowledge(role, {f"IAM5[Resource::{lines.replace(self.partition, '<AWS::Partition>')}]": reason})
        function = lambda_.Function(
            self,
            _title(each.name),
            function_name=name,
            runtime=RUNTIME,
            architecture=lambda_.Architecture.X86_64,
            handler=f"edge_functions.lambda_at_edge.{each.name}.handler",
            code=lambda_.Code.from_asset(fitting(zipped, zip_max=each.zip_max)),
            role=role,
            memory_size=each.memory_mb,
            timeout=cdk.Duration.seconds(each.seconds),
        )
        function.apply_removal_policy(cdk.RemovalPolicy.RETAIN)  # its replicas are there for hours
        acknowledge(function, STAGED)
        return cloudfront.EdgeLambda(
            function_version=function.current_version,
            event_type=each.event,
            include_body=each.event == _Event.ORIGIN_REQUEST,
        )

    def _origin_of(self, recognition: Recognition) -> cloudfront.IOrigin:
        keys = [self._origin_key(name) for name in origin_key_names(self.environment_values)]
        return origins.HttpOrigin(
            recognition.domain_name,
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
            read_timeout=cdk.Duration.seconds(_ORIGIN_SECONDS),
            custom_headers={ORIGIN_KEY_HEADER: keys[-1].secret_value.unsafe_unwrap()},  # by reference
        )

    def _origin_key(self, name: str) -> secretsmanager.Secret:
        elsewhere = [self.environment_values.region] if self.environment_values.region != REGION else []
        secret = secretsmanager.Secret(
            self,
            _title(name.rpartition("/")[2].replace("-", "_")),
            secret_name=name,
            replica_regions=[secretsmanager.ReplicaRegion(region=region) for region in elsewhere],
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=48, exclude_punctuation=True),
        )
        acknowledge(secret, {"SMG4": "CloudFront reads it at a deployment: it is rotated by two of them, see README."})
        return secret

    def _response_headers(self) -> cloudfront.ResponseHeadersPolicy:
        return cloudfront.ResponseHeadersPolicy(
            self,
            "Secured",
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                    access_control_max_age=cdk.Duration.seconds(_TLS_SECONDS), include_subdomains=True, override=True
                ),
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
                frame_options=cloudfront.ResponseHeadersFrameOptions(
                    frame_option=cloudfront.HeadersFrameOption.DENY, override=True
                ),
                referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                    referrer_policy=cloudfront.HeadersReferrerPolicy.NO_REFERRER, override=True
                ),
            ),
        )

    def _distribution(self, environment: Environment) -> cloudfront.Distribution:
        recognition = self._behaviour(cloudfront.CachePolicy.CACHING_DISABLED, edge_lambdas=self._at_edge)
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=self.stack_name,
            domain_names=[environment.domain_name],
            certificate=acm.Certificate(
                self,
                "Certificate",
                domain_name=environment.domain_name,
                validation=acm.CertificateValidation.from_dns(self._zone),
            ),
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            web_acl_id=self.firewall.attr_arn,
            log_bucket=logs_bucket(self, "Accesses", ownership=s3.ObjectOwnership.OBJECT_WRITER),
            default_behavior=self._behaviour(
                cloudfront.CachePolicy.CACHING_DISABLED, function_associations=[self._closed_paths()]
            ),
            additional_behaviors={
                "/v1/match/*": self._behaviour(self._match_caching(), edge_lambdas=self._at_edge),
                "/v1/*": recognition,
                "/recognize": recognition,
            },
            error_responses=[
                cloudfront.ErrorResponse(http_status=status, ttl=cdk.Duration.seconds(0))  # else ten, whatever is said
                for status in (404, 500, 502, 503, 504)
            ],
        )
        reason = "Whoever has a key may ask from anywhere."
        acknowledge(distribution, {"CFR1": reason})
        return distribution

    def _behaviour(
        self,
        caching: cloudfront.ICachePolicy,
        *,
        edge_lambdas: list[cloudfront.EdgeLambda] | None = None,
        function_associations: list[cloudfront.FunctionAssociation] | None = None,
    ) -> cloudfront.BehaviorOptions:
        return cloudfront.BehaviorOptions(
            origin=self._origin,
            allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
            cache_policy=caching,
            origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            response_headers_policy=self._secured,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,  # a redirect would come after the key
            edge_lambdas=edge_lambdas,
            function_associations=function_associations,
        )

    def _match_caching(self) -> cloudfront.CachePolicy:
        return cloudfront.CachePolicy(
            self,
            "MatchCaching",
            comment="GET /v1/match: as long as the functions say; one caller's answer is not another's",
            min_ttl=cdk.Duration.seconds(0),
            default_ttl=cdk.Duration.seconds(0),
            max_ttl=cdk.Duration.seconds(_MATCH_SECONDS_MAX),
            header_behavior=cloudfront.CacheHeaderBehavior.allow_list("Authorization"),
            cookie_behavior=cloudfront.CacheCookieBehavior.none(),
            query_string_behavior=cloudfront.CacheQueryStringBehavior.none(),
            enable_accept_encoding_gzip=True,
            enable_accept_encoding_brotli=True,
        )

    def _closed_paths(self) -> cloudfront.FunctionAssociation:
        function = cloudfront.Function(
            self,
            "ClosedPaths",
            comment="What is for operators is not for the internet",
            runtime=cloudfront.FunctionRuntime.JS_2_0,
            code=cloudfront.FunctionCode.from_inline((_FUNCTIONS / "closed_paths.js").read_text(encoding="utf-8")),
        )
        return cloudfront.FunctionAssociation(function=function, event_type=cloudfront.FunctionEventType.VIEWER_REQUEST)

    def _watch(self) -> None:
        """Have CloudFront's own metrics, which are in this region alone, sound an alarm."""
        key = rotated_key(self, "EdgeAlarms", "alarms of the edge")
        let_services_send(key)
        Alarms(self, key).add(
            "SonicaEdgeErrors",
            "More than one answer in a hundred is a server's error: the origin's, or a function's at the edge.",
            Limit(self.distribution.metric5xx_error_rate(period=cdk.Duration.minutes(5)), 1, minutes=5),
        )

    def _records(self, environment: Environment) -> None:
        target = route53.RecordTarget.from_alias(targets.CloudFrontTarget(self.distribution))
        for record in (route53.ARecord, route53.AaaaRecord):
            record(self, record.__name__, zone=self._zone, record_name=f"{environment.domain_name}.", target=target)


def _title(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))
