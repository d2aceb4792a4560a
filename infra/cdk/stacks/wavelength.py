"""A zone within a carrier's network: a VPC of its own, and nodes that run the edge node's container.

CDK's own VPC knows nothing of carriers: these are CloudFormation's resources.
https://docs.aws.amazon.com/wavelength/latest/developerguide/wavelength-quotas.html
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as balancing
from aws_cdk import aws_iam as iam
from aws_cdk import aws_route53 as route53
from constructs import Construct

from infra.cdk.environments import Environment, WavelengthZone
from infra.cdk.stacks.data import Data
from infra.cdk.stacks.functions import bundle_public_keys, bundle_url
from infra.cdk.stacks.images import DeployedImage
from infra.cdk.stacks.stack import SonicaStack, acknowledge

_PORT = 8000  # the container's
_DATA_DIR = "/data"
_MEMORY_MB = 1_024  # at least; the bundle may take what else the machine has
_TMP_MB = 64
_DISK_GB = 30
_BUSY_PERCENT = 60
_TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
_AGENT_POLICY = "service-role/AmazonEC2ContainerServiceforEC2Role"
_MACHINE_IMAGE = "{{resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id}}"


class Wavelength(SonicaStack):
    """One zone."""

    def __init__(self, scope: Construct, environment: Environment, zone: WavelengthZone, data: Data) -> None:
        super().__init__(scope, environment, part=f"Wavelength-{zone.label}")
        self._place = zone
        self.label = zone.label
        self.nodes_min = zone.nodes_min
        self._network()
        self._balance(environment)
        self.cluster = ecs.CfnCluster(
            self, "Cluster", cluster_settings=[{"name": "containerInsights", "value": "enabled"}]
        )
        self._machines()
        self._serve(environment, data)

    def healthy_nodes(self, period: cdk.Duration) -> cloudwatch.Metric:
        """Return how many nodes the balancer finds healthy."""
        return cloudwatch.Metric(
            namespace="AWS/ApplicationELB",
            metric_name="HealthyHostCount",
            statistic="Minimum",
            period=period,
            dimensions_map={
                "LoadBalancer": self.balancer.attr_load_balancer_full_name,
                "TargetGroup": self.targets.attr_target_group_full_name,
            },
        )

    def _network(self) -> None:
        self._vpc = ec2.CfnVPC(
            self, "Vpc", cidr_block=self._place.cidr, enable_dns_support=True, enable_dns_hostnames=True
        ).ref
        carrier = ec2.CfnCarrierGateway(self, "CarrierGateway", vpc_id=self._vpc)
        self._subnet = ec2.CfnSubnet(
            self, "Subnet", vpc_id=self._vpc, cidr_block=self._place.cidr, availability_zone=self._place.zone
        ).ref
        table = ec2.CfnRouteTable(self, "Routes", vpc_id=self._vpc).ref
        ec2.CfnRoute(
            self, "Out", route_table_id=table, destination_cidr_block="0.0.0.0/0", carrier_gateway_id=carrier.ref
        )
        ec2.CfnSubnetRouteTableAssociation(self, "Routed", subnet_id=self._subnet, route_table_id=table)
        lines = self.log_group(f"wavelength-{self._place.label}-network")
        role = iam.Role(self, "FlowLogRole", assumed_by=iam.ServicePrincipal("vpc-flow-logs.amazonaws.com"))
        lines.grant_write(role)
        ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_id=self._vpc,
            resource_type="VPC",
            traffic_type="REJECT",
            log_group_name=lines.log_group_name,
            deliver_logs_permission_arn=role.role_arn,
        )

    def _balance(self, environment: Environment) -> None:
        rule = ec2.CfnSecurityGroup.IngressProperty
        self._front = ec2.CfnSecurityGroup(
            self,
            "Front",
            vpc_id=self._vpc,
            group_description="Listeners of the carrier",
            security_group_ingress=[rule(ip_protocol="tcp", from_port=443, to_port=443, cidr_ip="0.0.0.0/0")],
        )
        acknowledge(self._front, {"EC23": "Listeners come from anywhere in the carrier's network, by TLS alone."})
        self._nodes = ec2.CfnSecurityGroup(
            self,
            "Nodes",
            vpc_id=self._vpc,
            group_description="The balancer alone",
            security_group_ingress=[
                rule(
                    ip_protocol="tcp",
                    from_port=_PORT,
                    to_port=_PORT,
                    source_security_group_id=self._front.attr_group_id,
                )
            ],
        )
        self.balancer = balancing.CfnLoadBalancer(
            self,
            "Balancer",
            type="application",
            scheme="internet-facing",  # here: by an address of the carrier
            subnets=[self._subnet],
            security_groups=[self._front.attr_group_id],
            load_balancer_attributes=[
                {"key": "routing.http.drop_invalid_header_fields.enabled", "value": "true"},
                {"key": "deletion_protection.enabled", "value": str(environment.deletion_protection).lower()},
            ],
        )
        acknowledge(self.balancer, {"ELB2": "The container itself logs each request, with its id and its outcome."})
        two_subnets = cdk.Acknowledgment(
            id="CloudFormation-Validate::E3680",
            reason="Two subnets are asked of Availability Zones; in a zone of another type a balancer has one.",
        )
        cdk.Validations.of(self.balancer).acknowledge(two_subnets)
        self.targets = balancing.CfnTargetGroup(
            self,
            "Targets",
            vpc_id=self._vpc,
            protocol="HTTP",
            port=_PORT,
            target_type="instance",
            health_check_path="/readyz",
            health_check_interval_seconds=10,
            healthy_threshold_count=2,
        )
        self._listener = balancing.CfnListener(
            self,
            "Listener",
            load_balancer_arn=self.balancer.ref,
            protocol="HTTPS",
            port=443,
            ssl_policy=_TLS_POLICY,
            certificates=[{"certificateArn": self._certificate(environment).certificate_arn}],
            default_actions=[{"type": "forward", "targetGroupArn": self.targets.ref}],
        )

    def _certificate(self, environment: Environment) -> acm.Certificate:
        zone = route53.PublicHostedZone.from_hosted_zone_attributes(
            self, "Zone", hosted_zone_id=environment.hosted_zone_id, zone_name=environment.hosted_zone_name
        )
        name = environment.node_domain_name(self._place)
        route53.CfnRecordSet(
            self,
            "Name",
            hosted_zone_id=zone.hosted_zone_id,
            name=f"{name}.",
            type="A",
            alias_target=route53.CfnRecordSet.AliasTargetProperty(
                dns_name=self.balancer.attr_dns_name, hosted_zone_id=self.balancer.attr_canonical_hosted_zone_id
            ),
        )
        return acm.Certificate(
            self, "Certificate", domain_name=name, validation=acm.CertificateValidation.from_dns(zone)
        )

    def _machines(self) -> None:
        role = iam.Role(
            self,
            "MachineRole",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(_AGENT_POLICY)],
        )
        rule = f"IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{_AGENT_POLICY}]"
        acknowledge(role, {rule: "AWS keeps it to what ECS's agent of the day calls."})
        profile = iam.CfnInstanceProfile(self, "MachineProfile", roles=[role.role_name])
        template = ec2.CfnLaunchTemplate
        described = template(
            self,
            "Machine",
            launch_template_data=template.LaunchTemplateDataProperty(
                image_id=_MACHINE_IMAGE,
                instance_type=self._place.instance_type,
                iam_instance_profile={"arn": profile.attr_arn},
                metadata_options=template.MetadataOptionsProperty(
                    http_tokens="required", http_put_response_hop_limit=1
                ),
                monitoring=template.MonitoringProperty(enabled=True),
                network_interfaces=[
                    template.NetworkInterfaceProperty(
                        device_index=0,
                        associate_carrier_ip_address=True,  # there is no NAT: by this a node reaches ECS, ECR, S3
                        groups=[self._nodes.attr_group_id],
                    )
                ],
                block_device_mappings=[
                    template.BlockDeviceMappingProperty(
                        device_name="/dev/xvda",
                        ebs=template.EbsProperty(volume_type="gp2", volume_size=_DISK_GB, encrypted=True),  # no gp3
                    )
                ],
                user_data=cdk.Fn.base64(
                    cdk.Fn.sub(
                        "#!/bin/bash\necho ECS_CLUSTER=${name} >> /etc/ecs/ecs.config\n", {"name": self.cluster.ref}
                    )
                ),
            ),
        )
        group = autoscaling.CfnAutoScalingGroup
        machines = group(
            self,
            "Machines",
            min_size=str(self._place.nodes_min),
            max_size=str(self._place.nodes_max),
            vpc_zone_identifier=[self._subnet],
            launch_template=group.LaunchTemplateSpecificationProperty(
                launch_template_id=described.ref, version=described.attr_latest_version_number
            ),
        )
        acknowledge(machines, {"AS3": "That nodes come and go is no news; an alarm says when too few are healthy."})
        tracked = autoscaling.CfnScalingPolicy
        tracked(
            self,
            "Scaling",
            auto_scaling_group_name=machines.ref,
            policy_type="TargetTrackingScaling",
            target_tracking_configuration=tracked.TargetTrackingConfigurationProperty(
                target_value=_BUSY_PERCENT,
                predefined_metric_specification=tracked.PredefinedMetricSpecificationProperty(
                    predefined_metric_type="ASGAverageCPUUtilization"
                ),
            ),
        )

    def _serve(self, environment: Environment, data: Data) -> None:
        """Run one container on each machine."""
        task = ecs.Ec2TaskDefinition(
            self,
            "Task",
            network_mode=ecs.NetworkMode.HOST,
            execution_role=iam.Role(self, "StartRole", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com")),
            task_role=iam.Role(self, "NodeRole", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com")),
            volumes=[
                ecs.Volume(
                    name="data",
                    docker_volume_configuration=ecs.DockerVolumeConfiguration(
                        driver="local", scope=ecs.Scope.SHARED, autoprovision=True
                    ),
                )
            ],
        )
        starts, role = task.execution_role, task.task_role
        assert isinstance(starts, iam.Role)
        assert isinstance(role, iam.Role)
        image = DeployedImage(self, "edge-node")
        image.let_pull(starts)
        data.bundles.let_read(role)
        filesystem = ecs.LinuxParameters(self, "Memory")
        filesystem.add_tmpfs(ecs.Tmpfs(container_path="/tmp", size=_TMP_MB))  # noqa: S108
        container = task.add_container(
            "Node",
            image=ecs.ContainerImage.from_registry(image.uri),
            memory_reservation_mib=_MEMORY_MB,
            readonly_root_filesystem=True,
            linux_parameters=filesystem,
            port_mappings=[ecs.PortMapping(container_port=_PORT)],
            logging=ecs.LogDriver.aws_logs(
                stream_prefix="node", log_group=self.log_group(f"wavelength-{self._place.label}")
            ),
            environment={
                "SONICA_DATA_DIR": _DATA_DIR,
                "SONICA_BUNDLE_URL": bundle_url(data),
                "SONICA_BUNDLE_PUBLIC_KEYS": bundle_public_keys(self),
                "SONICA_ORIGIN_URL": f"https://{environment.domain_name}",
                "SONICA_TRUSTED_PROXIES": self._place.cidr,  # the balancer
                "SONICA_AWS_REGION": self.region,
            },
        )
        container.add_mount_points(ecs.MountPoint(container_path=_DATA_DIR, source_volume="data", read_only=False))
        acknowledge(task, {"ECS2": "Nothing in its environment is a secret."})
        service = ecs.CfnService(
            self,
            "Service",
            cluster=self.cluster.ref,
            launch_type="EC2",
            scheduling_strategy="DAEMON",
            task_definition=task.task_definition_arn,
            load_balancers=[{"containerName": "Node", "containerPort": _PORT, "targetGroupArn": self.targets.ref}],
        )
        service.add_resource_dependency(self._listener)
