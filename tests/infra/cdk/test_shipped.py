"""The very files that the stacks ship, run as AWS runs them."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import zipfile
from pathlib import Path

import pytest
from edge_benchmarks.runtime_api import RUNS_HERE, running

from edge_functions.lambda_at_edge import origin_request, origin_response, viewer_request
from tests.edge.lambda_at_edge.events import NAMES, make_event
from tests.infra.cdk.conftest import Assembly
from tests.lambda_function import Request, content_of, http_api_event

pytestmark = pytest.mark.skipif(not RUNS_HERE, reason="the zips are for Linux on x86_64")
HERE = {"ViewerRequest": viewer_request, "OriginRequest": origin_request, "OriginResponse": origin_response}
OF_THE_RUNTIME = (  # what Lambda's managed Python has besides the standard library
    "awslambdaric", "runtime_client", "snapshot_restore_py", "simplejson",
    "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3",
)  # fmt: skip


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with nothing but what AWS's runtime has."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    for name in OF_THE_RUNTIME:
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        assert spec.origin is not None, name
        origin = Path(spec.origin)
        found = origin.parent if origin.name == "__init__.py" else origin
        (folder / found.name).symlink_to(found)
    return folder


@pytest.mark.parametrize("name", HERE)
def test_edge_function_answers_when_it_runs_from_the_zip_that_is_shipped(
    prod: Assembly, name: str, tmp_path: Path
) -> None:
    function = prod.one("AWS::Lambda::Function", name)
    zipfile.ZipFile(prod.asset(function)).extractall(tmp_path)
    module = HERE[name]
    events = [make_event(each) for each in NAMES if each.startswith(module.__name__.rpartition(".")[2])]
    with running(tmp_path, function.properties["Handler"]) as shipped:
        answers = [shipped(event) for event in events]

    assert answers == [module.handler(event, None) for event in events] != []


async def test_origin_answers_when_it_runs_from_the_zip_that_is_shipped(
    prod: Assembly, database_url: str, runtime: Path, tmp_path: Path
) -> None:
    function = prod.one("AWS::Lambda::Function", "Recognizer")
    with zipfile.ZipFile(prod.asset(function)) as archive:
        python = re.search(r"numpy/_core/_multiarray_umath\.cpython-(\d+)-", "\n".join(archive.namelist()))
        if python is None:
            pytest.skip("there is no dist/lambda/origin.zip: scripts/build_lambda.py makes it")
        if python[1] != f"{sys.version_info.major}{sys.version_info.minor}":
            pytest.skip(f"the zip is for Python {python[1]}: ORIGIN_ZIP may name one of build_lambda.py --python 3.11")
        archive.extractall(tmp_path / "function")
    told = function.properties["Environment"]["Variables"]
    settings = {name: value for name, value in told.items() if isinstance(value, str) and "BUNDLE" not in name}
    settings["SONICA_DATABASE_URL"] = database_url
    # The interpreter that this environment was made of, which has none of its packages.
    python_alone = str(getattr(sys, "_base_executable", sys.executable))
    place = {"python": python_alone, "client": runtime}
    with running(tmp_path / "function", function.properties["Handler"], settings=settings, **place) as shipped:
        alive = shipped(http_api_event(Request("/livez")))
        ready = shipped(http_api_event(Request("/readyz")))
        refused = shipped(http_api_event(Request("/v1/recognize", "POST", b"clip")))

    assert content_of(alive) == {"status": "alive"}
    assert content_of(ready)["songs"] == 0
    assert (refused["statusCode"], content_of(refused)["code"]) == (401, "unauthenticated")
    assert json.dumps(settings).count("SONICA_AUTH") == 1
