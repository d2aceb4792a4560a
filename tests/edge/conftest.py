"""What the tests of the hot index share."""

import pytest

from tests.edge.hot_catalogue import open_hot_catalogue
from tests.edge.javascript_kernel import JavaScriptKernel


@pytest.fixture(scope="session")
async def hot_catalogue(tmp_path_factory):
    """The origin over a few songs, and their bundle."""
    return await open_hot_catalogue(tmp_path_factory.mktemp("hot"))


@pytest.fixture(scope="module")
def javascript_kernel():
    """sonica-fingerprint.mjs in Node."""
    kernel = JavaScriptKernel()
    yield kernel
    kernel.close()
