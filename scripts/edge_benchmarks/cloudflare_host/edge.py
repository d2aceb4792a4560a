"""Both Workers and what Cloudflare puts between them, in a Node process."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from edge_benchmarks.cloudflare_host.engines import ENGINES, node, site_package

Json: TypeAlias = Any
HOST = Path(__file__).with_name("host.mjs")
WORKER = Path(__file__).resolve().parents[3] / "edge_functions" / "cloudflare_worker"


class EdgeHost:
    """Serves the edge at `url`; the other methods look behind it."""

    def __init__(self, folder: Path, *, public_keys: str = "") -> None:
        """public_keys: of who may publish hot indexes; by none, everybody may."""
        subprocess.run([sys.executable, str(WORKER / "stage.py"), str(folder)], check=True)
        command = [node(), str(HOST), str(folder), str(site_package("workers").parent), str(ENGINES), public_keys]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        addresses = json.loads(self.process.stdout.readline())
        self._addresses = itertools.count()
        self.url = addresses["url"]
        self._client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        self._control = httpx.Client(base_url=addresses["control"], timeout=30, trust_env=False)

    def request(self, method: str, path: str, *, settled: bool = True, **arguments: Json) -> httpx.Response:
        """Ask the edge; settled: and wait until it has stored what it stores behind the answer."""
        address = {"cf-connecting-ip": f"192.0.2.{next(self._addresses)}"}  # each request from another client
        response = self._client.request(method, path, **arguments | {"headers": address | arguments.get("headers", {})})
        if settled:
            self.control("settle")
        return response

    def recognize(self, body: bytes, content_type: str = "audio/wav", **headers: str) -> httpx.Response:
        """POST a clip."""
        given = {"content-type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", "/v1/recognize", content=body, headers=given)

    def control(self, name: str, value: object = None) -> Json:
        """Do something behind the edge's back."""
        result = self._control.post("/", json={"name": name, "value": value}).json()
        if isinstance(result, dict) and "error" in result:
            raise RuntimeError(result["error"])
        return result

    def set_variables(self, **values: object) -> None:
        """Change variables of wrangler.jsonc."""
        self.control("variables", {name.upper(): value for name, value in values.items()})

    def kernel(self, method: str, body: bytes = b"", form: dict[str, Json] | None = None) -> Json:
        """Call the kernel Worker from another Worker, all of it in workerd."""
        result = self.control("kernel", {"method": method, "base64": base64.b64encode(body).decode(), "form": form})
        return base64.b64decode(result["base64"]) if result and "base64" in result else result

    @contextmanager
    def without_kernel(self) -> Iterator[None]:
        """Let calls of the kernel Worker fail."""
        self.control("kernel_is_away", True)
        yield
        self.control("kernel_is_away", False)

    def put_object(self, key: str, body: bytes) -> None:
        """Write an object of the hot indexes' bucket."""
        self.control("put_object", {"key": key, "base64": base64.b64encode(body).decode()})

    def delete_object(self, key: str) -> None:
        """Delete one."""
        self.control("delete_object", key)

    def close(self) -> None:
        """End the process."""
        self._client.close()
        self._control.close()
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()
