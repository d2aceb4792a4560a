"""The container's images: deployed before the rest, once an account, for an image must be there to be run."""

from __future__ import annotations

from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from infra.cdk.environments import Environment
from infra.cdk.stacks.stack import SonicaStack, acknowledge

TARGETS = ("core", "edge-node")
_IMAGES_KEPT = 30  # of those that no tag names


class Images(SonicaStack):
    """A repository for each target of infra/containers/Dockerfile."""

    def __init__(self, scope: Construct, environment: Environment) -> None:
        super().__init__(scope, environment)
        for target in TARGETS:
            ecr.Repository(
                self,
                target.title().replace("-", ""),
                repository_name=_repository_name(environment.name, target),
                image_scan_on_push=True,
                image_tag_mutability=ecr.TagMutability.IMMUTABLE,
                encryption=ecr.RepositoryEncryption.KMS,
                removal_policy=self.removal_policy(),
                lifecycle_rules=[ecr.LifecycleRule(tag_status=ecr.TagStatus.UNTAGGED, max_image_count=_IMAGES_KEPT)],
            )


class DeployedImage:
    """The image whose digest Parameter Store has as `/sonica/<environment>/images/<target>` at a deployment."""

    def __init__(self, stack: SonicaStack, target: str) -> None:
        name = stack.environment_values.name
        digest = ssm.StringParameter.value_for_string_parameter(stack, f"/sonica/{name}/images/{target}")
        self._repository = ecr.Repository.from_repository_name(stack, "Repository", _repository_name(name, target))
        self.uri = self._repository.repository_uri_for_digest(digest)

    def let_pull(self, role: iam.Role) -> None:
        """Let a role pull it."""
        self._repository.grant_pull(role)
        acknowledge(role, {"IAM5[Resource::*]": "ecr:GetAuthorizationToken is not of any one repository."})


def _repository_name(name: str, target: str) -> str:
    return f"sonica-{name}/{target}"
