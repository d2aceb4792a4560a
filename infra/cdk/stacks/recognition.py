"""The origin: the app as a function, restored from a snapshot, behind an HTTP API that CloudFront alone may ask."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import triggers
from constructs import Construct

from infra.cdk.environments import Environment
from infra.cdk.stacks.functions import RUNTIME, STAGED, Region, function_role, origin_function, role_of
from infra.cdk.stacks.stack import SonicaStack, acknowledge

ORIGIN_KEY_HEADER = "x-sonica-origin-key"  # functions/origin_guard.py reads it
BODY_BYTES_MAX = 4_500_000  # Lambda takes 6 MB with the body in base64; scripts/build_edge.py is told the same
_REQUEST_SECONDS_MAX = 15
_START_SECONDS = 10  # what a request may wait for a cold start besides
_GUARD_MINUTES = 5
_MIGRATION_MINUTES = 10
_FUNCTIONS = Path(__file__).parents[1] / "functions"


class Recognition(SonicaStack):
    """Function, alias, HTTP API."""

    def __init__(self, scope: Construct, environment: Environment, region: Region) -> None:
        super().__init__(scope, environment)
        self.lines = self.log_group("recognition")
        self.function = self._function(environment, region)
        self.alias = lambda_.Alias(self, "Live", alias_name="live", version=self.function.current_version)
        self._migrate_before(self.function.current_version, region)
        self.api_lines = self.log_group("api")
        self.api = self._api()
        self._shift(environment)

    @property
    def domain_name(self) -> str:
        """The HTTP API's, for CloudFront."""
        return f"{self.api.api_id}.execute-api.{self.region}.{self.url_suffix}"

    def _function(self, environment: Environment, region: Region) -> lambda_.Function:
        function = origin_function(
            self,
            "Recognizer",
            region,
            lines=self.lines,
            description="Sonica: recognizes",
            handler="backend.lambda_handler.handler",
            memory_size=environment.function_memory_mb,
            timeout=cdk.Duration.seconds(_REQUEST_SECONDS_MAX + _START_SECONDS),
            reserved_concurrent_executions=environment.function_concurrency_max,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS,
            settings=_settings(environment),
        )
        region.data.bundles.let_read(role_of(function))
        cdk.Annotations.of(function).acknowledge_warning(
            "@aws-cdk/aws-lambda:snapStartRequirePublish", "The alias names a version."
        )
        return function

    def _migrate_before(self, version: lambda_.Version, region: Region) -> None:
        """Bring the database's schema up to date before a version's snapshot is taken, which opens the catalogue."""
        function = origin_function(
            self,
            "Migration",
            region,
            lines=self.log_group("migration"),
            description="Sonica: brings the schema up to date",
            handler="backend.migration_handler.handler",
            memory_size=512,
            timeout=cdk.Duration.minutes(_MIGRATION_MINUTES),
            settings={},
        )
        triggers.Trigger(
            self,
            "Migrated",
            handler=function,
            timeout=cdk.Duration.minutes(_MIGRATION_MINUTES),
            execute_before=[version],
        )

    def _api(self) -> apigateway.HttpApi:
        api = apigateway.HttpApi(
            self,
            "Api",
            api_name=self.stack_name,
            description="Sonica's origin: for CloudFront, which has the key",
            create_default_stage=False,
            default_integration=integrations.HttpLambdaIntegration("Recognize", self.alias),
            default_authorizer=authorizers.HttpLambdaAuthorizer(
                "Guard",
                self._guard(),
                identity_source=[f"$request.header.{ORIGIN_KEY_HEADER}"],
                response_types=[authorizers.HttpLambdaResponseType.SIMPLE],
                results_cache_ttl=cdk.Duration.minutes(_GUARD_MINUTES),
            ),
        )
        stage = apigateway.HttpStage(self, "Stage", http_api=api, stage_name="$default", auto_deploy=True)
        described = stage.node.default_child
        assert isinstance(described, apigateway.CfnStage)
        described.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=self.api_lines.log_group_arn,
            format=self.to_json_string(
                {
                    "requestId": "$context.requestId",
                    "route": "$context.routeKey",
                    "status": "$context.status",
                    "latency": "$context.responseLatency",
                    "integrationError": "$context.integrationErrorMessage",
                    "authorizerError": "$context.authorizer.error",
                }
            ),
        )
        return api

    def _guard(self) -> lambda_.Function:
        names = origin_key_names(self.environment_values)
        lines = self.log_group("origin-guard")
        role = function_role(self, "Guard", lines)
        for name in names:
            secret = self.format_arn(
                service="secretsmanager",
                resource="secret",
                resource_name=f"{name}-??????",  # what AWS adds to it
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
            role.add_to_policy(iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[secret]))
        guard = lambda_.Function(
            self,
            "Guard",
            description="Sonica: lets CloudFront through to the origin",
            runtime=RUNTIME,
            handler="index.handler",
            code=lambda_.Code.from_inline((_FUNCTIONS / "origin_guard.py").read_text(encoding="utf-8")),
            role=role,
            timeout=cdk.Duration.seconds(5),
            log_group=lines,
            environment={"ORIGIN_KEYS": ",".join(names)},
        )
        acknowledge(guard, STAGED)
        return guard

    def _shift(self, environment: Environment) -> None:
        """Have a new version take over as the environment says, and go back when it fails."""
        failing = cloudwatch.Alarm(
            self,
            "VersionFails",
            alarm_name=f"sonica-{environment.name}-VersionFails",
            alarm_description="The function raises: the deployment under way goes back.",
            metric=self.alias.metric_errors(period=cdk.Duration.minutes(1)),
            threshold=1,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        group = codedeploy.LambdaDeploymentGroup(
            self,
            "Shift",
            alias=self.alias,
            alarms=[failing],
            deployment_config=codedeploy.LambdaDeploymentConfig.from_lambda_deployment_config_name(
                self, "How", environment.function_shift
            ),
        )
        policy = "arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited"
        acknowledge(group, {f"IAM4[Policy::{policy}]": "AWS keeps it to what shifting between versions takes."})


def origin_key_names(environment: Environment) -> list[str]:
    """Return the secrets by which the origin knows CloudFront; the last is the one that CloudFront has."""
    return [f"sonica/{environment.name}/origin-key-{number}" for number in environment.origin_keys]


def _settings(environment: Environment) -> dict[str, str]:
    tokens = {
        "SONICA_JWT_ISSUER": environment.jwt_issuer,
        "SONICA_JWT_AUDIENCE": environment.jwt_audience,
        "SONICA_JWT_JWKS": environment.jwt_jwks,
    }
    return {
        "SONICA_AUTH": "on",
        "SONICA_BODY_BYTES_MAX": str(BODY_BYTES_MAX),
        "SONICA_REQUEST_SECONDS_MAX": str(_REQUEST_SECONDS_MAX),
        "SONICA_CACHE_BYTES_MAX": str(environment.function_memory_mb * 1_000_000 // 16),
        "SONICA_RATE_LIMIT_ADDRESS": str(10**9),  # it sees CloudFront's alone: the firewall counts callers'
        **{name: value for name, value in tokens.items() if value is not None},
    }
