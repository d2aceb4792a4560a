"""The environments, synthesised once each, in one process."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import build_edge
import build_lambda
import pytest

from infra.cdk.app import Zips, synthesize
from infra.cdk.environments import DEV, ENVIRONMENTS, Environment
from infra.cdk.stacks.recognition import BODY_BYTES_MAX

ROOT = Path(__file__).parents[3]
ORIGIN_ZIP = Path(os.environ.get("ORIGIN_ZIP", ROOT / "dist" / "lambda" / "origin.zip"))
# Lives in another region than the edge, which no environment of today does.
ABROAD = replace(DEV, name="abroad", region="eu-west-1", availability_zones=("eu-west-1a", "eu-west-1b"))

Properties = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a template; `part` names its stack, `name` is its id without what CDK adds to it."""

    part: str
    name: str
    type: str
    properties: Properties
    described: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Assembly:
    """What `cdk deploy` takes: an environment's templates and files."""

    environment: Environment
    folder: Path

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """The templates by the parts of the system."""
        found = sorted(self.folder.glob("*.template.json"))
        prefix = f"Sonica-{self.environment.name}-"
        return {path.name.removeprefix(prefix).removesuffix(".template.json"): _json(path) for path in found}

    def resources(self, kind: str | None = None) -> Iterator[Resource]:
        """Yield the resources of a type, such as `AWS::S3::Bucket`."""
        for part, template in self.parts.items():
            for name, described in template["Resources"].items():
                if kind in (None, described["Type"]):
                    plain = re.sub(r"[0-9A-F]{8}$", "", name)
                    yield Resource(part, plain, described["Type"], described.get("Properties", {}), described)

    def one(self, kind: str, name: str, *, part: str | None = None) -> Resource:
        """Return the one resource of this type and name, of this part if several have it."""
        (found,) = [each for each in self.resources(kind) if each.name == name and part in (None, each.part)]
        return found

    def asset(self, function: Resource) -> Path:
        """Return the file that is shipped as a function's code."""
        digest = function.properties["Code"]["S3Key"].partition(".")[0]
        stated = _json(self.folder / f"Sonica-{self.environment.name}-{function.part}.assets.json")
        return self.folder / stated["files"][digest]["source"]["path"]

    def validation(self) -> dict[str, dict[str, Any]]:
        """Return what the validators said, by their names."""
        return {each["pluginName"]: each for each in _json(self.folder / "validation-report.json")["pluginReports"]}


Synthesis = Callable[[Environment], Assembly]


@pytest.fixture(scope="session")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Zips:
    """What the scripts stage. Where the origin was not: the same program without its wheels, which take the network."""
    folder = tmp_path_factory.mktemp("zips")
    build_edge.stage(folder / "edge", build_edge.baked_settings([f"body_bytes_max={BODY_BYTES_MAX}"]))
    if ORIGIN_ZIP.exists():
        return Zips(ORIGIN_ZIP, folder / "edge")
    kernel = build_edge.compiled_kernel(folder)
    (folder / "origin.zip").write_bytes(build_edge.zipped(dict(build_lambda.our_content(kernel))))
    return Zips(folder / "origin.zip", folder / "edge")


@pytest.fixture(scope="session")
def synthesis(zips: Zips, tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    """Synthesises an environment."""

    def synthesised(environment: Environment) -> Assembly:
        folder = tmp_path_factory.mktemp(environment.name)
        synthesize(environment, zips, folder)
        return Assembly(environment, folder)

    return synthesised


@pytest.fixture(scope="session")
def assemblies(synthesis: Synthesis) -> dict[str, Assembly]:
    """Every environment's."""
    return {name: synthesis(environment) for name, environment in ENVIRONMENTS.items()}


@pytest.fixture(scope="session")
def abroad(synthesis: Synthesis) -> Assembly:
    return synthesis(ABROAD)


@pytest.fixture(params=ENVIRONMENTS)
def assembly(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> Assembly:
    """Each environment's in turn."""
    return assemblies[request.param]


@pytest.fixture
def prod(assemblies: dict[str, Assembly]) -> Assembly:
    return assemblies["prod"]


def _json(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read
