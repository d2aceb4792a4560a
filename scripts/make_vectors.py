"""Writes tests/data/vectors.json from the native kernel, after a deliberate change of the fingerprint."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path

import sonica_fingerprint
from sonica_fingerprint import FINGERPRINT_VERSION, encode, extract

TESTS = Path(__file__).parents[1] / "tests"


def main() -> None:
    sys.path.insert(0, str(TESTS.parent))
    from tests.parity.clips import CLIPS

    wasm = Path(sonica_fingerprint.__file__).with_name("fingerprint.wasm").read_bytes()
    content = {
        "note": "written by scripts/make_vectors.py; every kernel must give exactly these, see tests/parity",
        "fingerprint_version": FINGERPRINT_VERSION,
        "wasm_sha256": hashlib.sha256(wasm).hexdigest(),
        "fingerprints": {name: base64.b64encode(encode(extract(make()))).decode() for name, make in CLIPS.items()},
    }
    (TESTS / "data" / "vectors.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
