from __future__ import annotations

import re

import httpx


async def test_docs_load_nothing_from_elsewhere_when_opened(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")

    assert page.status_code == 200
    assert "://" not in page.text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {asset.rpartition(".")[2] for asset in assets} == {"js", "css", "png"}
    for asset in [*assets, "/openapi.json"]:
        assert asset in page.text
        assert (await client.get(asset)).status_code == 200


async def test_missing_asset_is_a_problem_when_asked_for(client: httpx.AsyncClient) -> None:
    response = await client.get("/static-offline-docs/missing.js")

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
