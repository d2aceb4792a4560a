"""wasm/browser/sonica-fingerprint.mjs in Node, for tests in Python."""

import json
import subprocess
from pathlib import Path

import sonica_fingerprint

from tests.parity.wasm_exports import node_command

HOST = Path(__file__).with_name("javascript_kernel.mjs")
WASM = Path(sonica_fingerprint.__file__).with_name("fingerprint.wasm")


class RefusedByJavaScriptError(Exception):
    """The module threw."""


class JavaScriptKernel:
    """A process with one Kernel; methods are those of the module."""

    def __init__(self, wasm=WASM):
        command = [node_command(), str(HOST), str(wasm)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def version(self):
        return self._exchange("version")[0]

    def version_of(self, url):
        """The version of the kernel that the module loads from a URL."""
        return self._exchange("versionOf", b"", url)[0]

    def extract(self, samples, **taken):
        return self._exchange("extract", bytes(samples), taken)[1]

    def other_speeds(self):
        return self._exchange("otherSpeeds")[0]

    def load_hot_index(self, bundle):
        return self._exchange("loadHotIndex", bundle)[0]

    def hot_index(self):
        return self._exchange("hotIndex")[0]

    def hot_indexes_around_a_load(self, bundle):
        """What answers while a bundle is loaded, and afterwards."""
        return self._exchange("hotIndexesAroundALoad", bundle)[0]

    def load_two_hot_indexes(self, first, second):
        """What answers after both were loaded side by side, the second one begun last."""
        return self._exchange("loadTwoHotIndexes", first + second, len(first))[0]

    def open_manifest(self, sealed, public_keys):
        """What openManifest of sonica-bundle.mjs reads."""
        return self._exchange("openManifest", sealed, public_keys)[0]

    def check_file(self, body, file):
        """None, where the body is the file."""
        return self._exchange("checkFile", body, file)[0]

    def recognize(self, fingerprint, false_accept_rate=None):
        return self._exchange("recognize", fingerprint, false_accept_rate)[0]

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _exchange(self, call, payload=b"", *args):
        head = json.dumps({"call": call, "args": args, "length": len(payload)}).encode() + b"\n"
        self._process.stdin.write(head + payload)
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        returned = self._process.stdout.read(answer["length"])
        if isinstance(answer["result"], dict) and "error" in answer["result"]:
            raise RefusedByJavaScriptError(answer["result"]["error"])
        return answer["result"], returned
