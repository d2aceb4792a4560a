"""The firewall before CloudFront: how much an address may ask, and what is known to be evil."""

from __future__ import annotations

from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as wafv2

from infra.cdk.stacks.stack import SonicaStack

# Not the common rule set: it reads bodies as text, and audio is none.
_MANAGED = ("AWSManagedRulesAmazonIpReputationList", "AWSManagedRulesKnownBadInputsRuleSet")
_WINDOW_SECONDS = 300
_Acl = wafv2.CfnWebACL


def firewall(stack: SonicaStack, lines: logs.ILogGroup) -> wafv2.CfnWebACL:
    """Return a new firewall; what it blocks is logged."""
    environment = stack.environment_values
    rules = [
        _rate_rule(0, "Recognitions", environment.recognitions_per_address_max, of=_recognitions()),
        _rate_rule(1, "Requests", environment.requests_per_address_max, of=None),
        *(_managed_rule(priority, name) for priority, name in enumerate(_MANAGED, start=2)),
    ]
    acl = _Acl(
        stack,
        "Firewall",
        name=f"sonica-{environment.name}",
        scope="CLOUDFRONT",
        default_action=_Acl.DefaultActionProperty(allow={}),
        rules=rules,
        visibility_config=_visible("Firewall"),
    )
    wafv2.CfnLoggingConfiguration(
        stack,
        "FirewallLogging",
        resource_arn=acl.attr_arn,
        log_destination_configs=[lines.log_group_arn],
        redacted_fields=[wafv2.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": "authorization"})],
        logging_filter={
            "DefaultBehavior": "DROP",
            "Filters": [
                {
                    "Behavior": "KEEP",
                    "Requirement": "MEETS_ANY",
                    "Conditions": [{"ActionCondition": {"Action": "BLOCK"}}],
                }
            ],
        },
    )
    return acl


def _rate_rule(
    priority: int, name: str, limit: int, *, of: wafv2.CfnWebACL.StatementProperty | None
) -> wafv2.CfnWebACL.RuleProperty:
    counted = _Acl.RateBasedStatementProperty(
        limit=limit, aggregate_key_type="IP", evaluation_window_sec=_WINDOW_SECONDS, scope_down_statement=of
    )
    return _Acl.RuleProperty(
        name=name,
        priority=priority,
        statement=_Acl.StatementProperty(rate_based_statement=counted),
        action=_Acl.RuleActionProperty(block={"CustomResponse": {"ResponseCode": 429}}),
        visibility_config=_visible(name),
    )


def _managed_rule(priority: int, name: str) -> wafv2.CfnWebACL.RuleProperty:
    group = _Acl.ManagedRuleGroupStatementProperty(vendor_name="AWS", name=name)
    return _Acl.RuleProperty(
        name=name,
        priority=priority,
        statement=_Acl.StatementProperty(managed_rule_group_statement=group),
        override_action=_Acl.OverrideActionProperty(none={}),
        visibility_config=_visible(name),
    )


def _recognitions() -> wafv2.CfnWebACL.StatementProperty:
    asked = _Acl.ByteMatchStatementProperty(
        field_to_match=_Acl.FieldToMatchProperty(uri_path={}),
        positional_constraint="ENDS_WITH",
        search_string="/recognize",
        text_transformations=[_Acl.TextTransformationProperty(priority=0, type="LOWERCASE")],
    )
    return _Acl.StatementProperty(byte_match_statement=asked)


def _visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return _Acl.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
