"""Checks a bundle of the hot index, writes the pointer that publishes it, and says the commands that do.

The bundle goes first and the pointer last: whoever follows the pointer finds all of the bundle.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sonica_fingerprint import FingerprintError
from sonica_fingerprint.bundle import read_bundle

_COMMANDS = """\
npx wrangler r2 object put sonica-hot-bundles-{environment}/{key} --file {bundle} --remote
npx wrangler kv key put hot/current --path {pointer} --binding HOT_POINTERS --remote \\
    --config kernel/wrangler.jsonc --env {environment}"""


def pointer_to(body: bytes) -> dict[str, object]:
    """Return what the kernel Worker goes by. Raises MalformedBundle, UnsupportedVersion."""
    bundle = read_bundle(body)
    version = bundle.details["index_version"]
    return {"key": f"bundles/{bundle.sha256}", "sha256": bundle.sha256, "bytes": len(body), "version": version}


def main() -> None:
    """Write the pointer beside the bundle."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--environment", default="production")
    arguments = parser.parse_args()
    try:
        pointer = pointer_to(arguments.bundle.read_bytes())
    except FingerprintError as error:
        parser.error(str(error))
    path = arguments.bundle.with_suffix(".pointer.json")
    path.write_text(json.dumps(pointer) + "\n")
    print(
        _COMMANDS.format(environment=arguments.environment, key=pointer["key"], bundle=arguments.bundle, pointer=path)
    )


if __name__ == "__main__":
    main()
