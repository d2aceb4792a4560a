"""What must never change silently: who can read, who may do what, what is kept, and for how long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aws_cdk.assertions import Match, Template

from tests.infra.cdk.conftest import Assembly, Resource

# The only statements over everything: actions that AWS knows no resource of.
OVER_EVERYTHING = {
    "Recognition/RecognizerRoleDefaultPolicy": "ec2",
    "Recognition/MigrationRoleDefaultPolicy": "ec2",
    "Ingest/WorkerRoleDefaultPolicy": "ec2",
    "Publication/StartRoleDefaultPolicy": "ecr:GetAuthorizationToken",
    "Wavelength/StartRoleDefaultPolicy": "ecr:GetAuthorizationToken",
    "Observability/CanaryRoleDefaultPolicy": "cloudwatch:PutMetricData",
}
LOGS_OF_AWS = {"AccessLogs", "Accesses"}


def template(assembly: Assembly, part: str) -> Template:
    return Template.from_string(json.dumps(assembly.parts[part]))


def statements(resource: Resource) -> Iterator[dict[str, Any]]:
    """Yield every statement of a resource's policies."""

    def walk(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            if "Effect" in value and "Action" in value:
                yield value
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    yield from walk(resource.properties)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_buckets_are_encrypted_versioned_and_closed(assembly: Assembly) -> None:
    buckets = list(assembly.resources("AWS::S3::Bucket"))

    assert {each.name for each in buckets} == {*LOGS_OF_AWS, "Bundles", "Songs", "Canary"}
    for bucket in buckets:
        (rule,) = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        encryption = rule["ServerSideEncryptionByDefault"]
        assert encryption["SSEAlgorithm"] == ("AES256" if bucket.name in LOGS_OF_AWS else "aws:kms")
        assert ("KMSMasterKeyID" in encryption) == (bucket.name not in LOGS_OF_AWS)
        assert bucket.properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert set(bucket.properties["PublicAccessBlockConfiguration"].values()) == {True}
        if bucket.name not in LOGS_OF_AWS:
            assert bucket.described["DeletionPolicy"] == "Retain"
            assert "LoggingConfiguration" in bucket.properties


def test_buckets_queues_and_topics_are_reached_by_tls_alone(assembly: Assembly) -> None:
    policies = {
        "AWS::S3::Bucket": "AWS::S3::BucketPolicy",
        "AWS::SQS::Queue": "AWS::SQS::QueuePolicy",
        "AWS::SNS::Topic": "AWS::SNS::TopicPolicy",
    }
    for kind, policy in policies.items():
        guarded = [
            resource
            for resource in assembly.resources(policy)
            if any(
                each["Effect"] == "Deny" and each["Condition"].get("Bool") == {"aws:SecureTransport": "false"}
                for each in statements(resource)
            )
        ]
        assert len(guarded) == len(list(assembly.resources(kind))) > 0, kind


def test_keys_are_rotated_every_ninety_days(assembly: Assembly) -> None:
    keys = list(assembly.resources("AWS::KMS::Key"))

    assert {each.name for each in keys} == {"DataKey", "MessagesKey", "EdgeAlarmsKey"}
    for key in keys:
        assert key.properties["EnableKeyRotation"] is True
        assert key.properties["RotationPeriodInDays"] == 90
        assert key.described["DeletionPolicy"] == "Retain"


def test_database_and_cache_are_encrypted_and_reached_from_within_alone(assembly: Assembly) -> None:
    data = template(assembly, "Data")
    ours = {"Fn::GetAtt": [Match.string_like_regexp("DataKey"), "Arn"]}
    data.has_resource_properties("AWS::RDS::DBCluster", {"StorageEncrypted": True, "KmsKeyId": ours})
    data.has_resource_properties("AWS::RDS::DBClusterParameterGroup", {"Parameters": {"rds.force_ssl": "1"}})
    data.all_resources_properties("AWS::RDS::DBInstance", {"PubliclyAccessible": False})
    data.has_resource_properties("AWS::ElastiCache::ServerlessCache", {"KmsKeyId": ours, "Engine": "valkey"})
    for group in assembly.resources("AWS::RDS::DBSubnetGroup"):
        assert "DataSubnet" in json.dumps(group.properties["SubnetIds"])


def test_database_is_kept_and_its_password_rotated(assembly: Assembly) -> None:
    environment = assembly.environment
    data = template(assembly, "Data")
    data.has_resource("AWS::RDS::DBCluster", {
        "DeletionPolicy": "Snapshot",
        "Properties": {
            "BackupRetentionPeriod": environment.database_backup_days,
            "DeletionProtection": environment.deletion_protection,
        },
    })  # fmt: skip
    data.has_resource_properties("AWS::SecretsManager::RotationSchedule", {
        "RotationRules": {"ScheduleExpression": "rate(30 days)"},
        "SecretId": {"Ref": Match.string_like_regexp("DatabaseSecretAttachment")},
    })  # fmt: skip


def test_queues_and_topics_are_encrypted_by_our_key(assembly: Assembly) -> None:
    for kind in ("AWS::SQS::Queue", "AWS::SNS::Topic"):
        for resource in assembly.resources(kind):
            assert "Key" in json.dumps(resource.properties["KmsMasterKeyId"]), resource.name


def test_nobody_may_do_everything(assembly: Assembly) -> None:
    over_everything = {}
    for resource in assembly.resources():
        if resource.type not in ("AWS::IAM::Policy", "AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
            continue
        for statement in statements(resource):
            actions = listed(statement["Action"])
            assert not [action for action in actions if "*" in action], resource.name
            if "*" in listed(statement.get("Resource")):
                part = resource.part.partition("-")[0]
                over_everything[f"{part}/{resource.name}"] = actions

    expected = {
        name: what
        for name, what in OVER_EVERYTHING.items()
        if assembly.environment.wavelength_zones or not name.startswith("Wavelength")
    }
    assert over_everything.keys() == expected.keys()
    for name, actions in over_everything.items():
        assert {action for action in actions if not action.startswith(expected[name])} == set(), name


def test_only_policies_of_aws_that_are_expected_are_attached(assembly: Assembly) -> None:
    attached = {
        json.dumps(policy).rpartition("/")[2].rstrip('"]}')
        for role in assembly.resources("AWS::IAM::Role")
        for policy in role.properties.get("ManagedPolicyArns", [])
    }

    agent = {"AmazonEC2ContainerServiceforEC2Role"} if assembly.environment.wavelength_zones else set()
    assert attached == {"AWSCodeDeployRoleForLambdaLimited", "AWSLambdaBasicExecutionRole"} | agent


def test_the_internet_gets_in_nowhere_but_where_listeners_do(assembly: Assembly) -> None:
    opened = []
    for group in assembly.resources("AWS::EC2::SecurityGroup"):
        for rule in group.properties.get("SecurityGroupIngress", []):
            if rule.get("CidrIp") == "0.0.0.0/0" or "CidrIpv6" in rule:
                opened.append((group.part.partition("-")[0], group.name, rule["FromPort"], rule["ToPort"]))
    for rule in assembly.resources("AWS::EC2::SecurityGroupIngress"):
        assert "SourceSecurityGroupId" in rule.properties

    assert opened == [("Wavelength", "Front", 443, 443)] * len(assembly.environment.wavelength_zones)


def test_listeners_speak_tls_of_today(assembly: Assembly) -> None:
    config = assembly.one("AWS::CloudFront::Distribution", "Distribution").properties["DistributionConfig"]
    behaviours = [config["DefaultCacheBehavior"], *config["CacheBehaviors"]]
    headers = assembly.one("AWS::CloudFront::ResponseHeadersPolicy", "Secured").properties
    strict = headers["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]["StrictTransportSecurity"]

    assert config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert {each["ViewerProtocolPolicy"] for each in behaviours} == {"https-only"}
    assert all("ResponseHeadersPolicyId" in each for each in behaviours)
    assert strict == {"AccessControlMaxAgeSec": 63_072_000, "IncludeSubdomains": True, "Override": True}
    assert config["Origins"][0]["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert config["Origins"][0]["CustomOriginConfig"]["OriginSSLProtocols"] == ["TLSv1.2"]
    for listener in assembly.resources("AWS::ElasticLoadBalancingV2::Listener"):
        assert listener.properties["Protocol"] == "HTTPS"
        assert listener.properties["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    assert assembly.one("AWS::ElastiCache::ServerlessCache", "Cache").properties["Engine"] == "valkey"  # TLS alone


def test_origin_answers_cloudfront_alone(assembly: Assembly) -> None:
    routes = list(assembly.resources("AWS::ApiGatewayV2::Route"))
    authorizer = assembly.one("AWS::ApiGatewayV2::Authorizer", "ApiGuard")
    origin = assembly.one("AWS::CloudFront::Distribution", "Distribution").properties["DistributionConfig"]["Origins"][
        0
    ]
    sent = {each["HeaderName"]: json.dumps(each["HeaderValue"]) for each in origin["OriginCustomHeaders"]}

    assert {each.properties["AuthorizationType"] for each in routes} == {"CUSTOM"}
    assert authorizer.properties["IdentitySource"] == ["$request.header.x-sonica-origin-key"]
    assert sent.keys() == {"x-sonica-origin-key"}
    assert "{{resolve:secretsmanager:" in sent["x-sonica-origin-key"]  # by reference: no key in a template
    assert list(assembly.resources("AWS::Lambda::Url")) == []


def test_no_secret_is_in_a_template(assembly: Assembly) -> None:
    for secret in assembly.resources("AWS::SecretsManager::Secret"):
        assert "SecretString" not in secret.properties
    for function in assembly.resources("AWS::Lambda::Function"):
        variables = json.dumps(function.properties.get("Environment", {}))
        assert "resolve:secretsmanager" not in variables
        assert "PASSWORD" not in variables.upper()


def test_addresses_that_ask_too_much_are_refused(assembly: Assembly) -> None:
    environment = assembly.environment
    firewall = assembly.one("AWS::WAFv2::WebACL", "Firewall").properties
    limits = {
        rule["Name"]: rule["Statement"]["RateBasedStatement"]
        for rule in firewall["Rules"]
        if "RateBasedStatement" in rule["Statement"]
    }

    assert firewall["Scope"] == "CLOUDFRONT"
    assert limits["Recognitions"]["Limit"] == environment.recognitions_per_address_max
    assert "ScopeDownStatement" in limits["Recognitions"]
    assert limits["Requests"]["Limit"] == environment.requests_per_address_max
    assert {each["AggregateKeyType"] for each in limits.values()} == {"IP"}
    distribution = assembly.one("AWS::CloudFront::Distribution", "Distribution")
    assert "Firewall" in json.dumps(distribution.properties["DistributionConfig"]["WebACLId"])


def test_logs_are_kept_as_long_as_the_environment_says(assembly: Assembly) -> None:
    groups = list(assembly.resources("AWS::Logs::LogGroup"))

    assert len(groups) >= 9
    assert {each.properties["RetentionInDays"] for each in groups} == {assembly.environment.logs_days}
    for function in assembly.resources("AWS::Lambda::Function"):
        ours = function.part != "Edge" and not function.name.startswith("AWSCDK")
        assert ("LoggingConfig" in function.properties) == ours, function.name


def test_nodes_have_addresses_of_the_carrier_and_disks_that_are_encrypted(prod: Assembly) -> None:
    machines = list(prod.resources("AWS::EC2::LaunchTemplate"))

    assert len(machines) == len(prod.environment.wavelength_zones)
    for machine in machines:
        described = machine.properties["LaunchTemplateData"]
        (interface,) = described["NetworkInterfaces"]
        (disk,) = described["BlockDeviceMappings"]
        assert interface["AssociateCarrierIpAddress"] is True
        assert disk["Ebs"]["Encrypted"] is True
        assert described["MetadataOptions"]["HttpTokens"] == "required"
    assert len({each.part for each in prod.resources("AWS::EC2::CarrierGateway")}) == len(machines)
