"""The region's network: functions and jobs reach out through NAT, database and cache reach nobody."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.cdk.environments import Environment
from infra.cdk.stacks.stack import SonicaStack


class Network(SonicaStack):
    """The VPC, and the security group of those who may ask the database and the cache."""

    def __init__(self, scope: Construct, environment: Environment) -> None:
        super().__init__(scope, environment)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(environment.vpc_cidr),
            availability_zones=list(environment.availability_zones),
            nat_gateways=environment.nat_gateways,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24),
                ec2.SubnetConfiguration(name="Private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=20),
                ec2.SubnetConfiguration(name="Data", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
            },
            flow_logs={
                "FlowLog": ec2.FlowLogOptions(
                    destination=ec2.FlowLogDestination.to_cloud_watch_logs(self.log_group("network")),
                    traffic_type=ec2.FlowLogTrafficType.REJECT,
                )
            },
        )
        self.callers = ec2.SecurityGroup(
            self, "Callers", vpc=self.vpc, description="Functions and jobs: may ask the database and the cache"
        )
