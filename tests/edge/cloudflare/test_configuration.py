"""What is deployed fits together: wrangler.jsonc, the settings, and what is laid beside the entry."""

from __future__ import annotations

import ast
import json
import re
import sys

import pytest

from edge_functions.cloudflare_worker.settings import Settings
from edge_functions.cloudflare_worker.stage import WORKER, stage

RUNTIME = {"js", "pyodide", "workers"}


def configuration(path):
    return json.loads(re.sub(r"(^|\s)// .*$", "", (WORKER / path).read_text(), flags=re.MULTILINE))


EDGE, KERNEL = configuration("wrangler.jsonc"), configuration("kernel/wrangler.jsonc")


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_settings_are_read_when_they_come_from_an_environment(environment):
    variables = EDGE["env"][environment]["vars"]
    settings = Settings.from_variables(variables.get)
    assert settings.origin_url == variables["ORIGIN_URL"]
    (limiter,) = EDGE["env"][environment]["ratelimits"]
    assert limiter["simple"]["period"] == settings.rate_limit_seconds


def test_settings_say_what_is_missing_when_there_is_no_origin():
    with pytest.raises(ValueError, match="ORIGIN_URL"):
        Settings.from_variables({}.get)


def test_settings_take_numbers_when_they_come_as_text():
    given = {"ORIGIN_URL": "https://origin", "BODY_BYTES_MAX": "5", "CLIP_SECONDS_MAX": "2.5", "CORS_ORIGINS": ""}
    settings = Settings.from_variables(given.get)
    assert (settings.body_bytes_max, settings.clip_seconds_max, settings.cors_origins) == (5, 2.5, "")


def test_service_bindings_name_the_kernel_worker_when_environments_match():
    assert EDGE["env"].keys() == KERNEL["env"].keys()
    for name, environment in EDGE["env"].items():
        assert environment["services"] == [{"binding": "KERNEL", "service": f"{KERNEL['name']}-{name}"}]


def test_python_runtime_is_pyodide_314_when_the_worker_is_deployed():
    assert EDGE["compatibility_date"] >= "2026-09-08"
    assert "python_workers" in EDGE["compatibility_flags"]


def test_worker_has_all_that_it_imports_when_it_is_staged(staged):
    stage(staged)
    for path in staged.rglob("*.py"):
        for name in imported(path):
            module = staged.joinpath(*name.split("."))
            known = name.split(".")[0] in RUNTIME | sys.stdlib_module_names
            assert known or module.with_suffix(".py").exists() or (module / "__init__.py").exists(), (path, name)


def test_only_the_entry_knows_the_runtime(staged):
    stage(staged)
    knowing = {path.name for path in staged.rglob("*.py") if RUNTIME & {name.split(".")[0] for name in imported(path)}}
    assert knowing == {"entry.py"}


def imported(path):
    """Yield the modules that a file imports at its top, which is what runs when the Worker starts."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
