"""sonica-bundle.mjs believes what the publisher's key signed, and nothing else."""

import json
from datetime import UTC, datetime

import pytest

from backend.bundles.manifest import BundleFile, BundleManifest
from backend.bundles.signatures import public_text, seal, unseal
from tests.bundles import SIGNER, STRANGER, TRUSTED
from tests.edge.javascript_kernel import RefusedByJavaScriptError

SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def manifest(**changed):
    given = {
        "kind": "hot",
        "fingerprint_version": 3,
        "catalogue": "naïve ☃",
        "revision": 7,
        "songs": 1,
        "segments": 2,
        "channel": "hot",
        "sequence": 5,
        "created_at": datetime(2026, 11, 21, tzinfo=UTC),
        "base_revision": 7,
        "files": (BundleFile(name="hot-index.bundle", sha256=SHA256, bytes=0),),
    }
    return BundleManifest.model_validate(given | changed)


def test_signed_manifest_is_read_as_the_origin_reads_it(javascript_kernel):
    sealed = seal(manifest(), SIGNER)
    read = javascript_kernel.open_manifest(sealed, public_text(SIGNER))
    assert read == unseal(sealed, TRUSTED).model_dump(mode="json")


def test_any_of_several_keys_is_believed(javascript_kernel):
    keys = f"{public_text(STRANGER)}, {public_text(SIGNER)}"
    assert javascript_kernel.open_manifest(seal(manifest(), SIGNER), keys)["sequence"] == 5


def test_nobody_need_sign_where_no_key_is_named(javascript_kernel):
    assert javascript_kernel.open_manifest(seal(manifest(), None), "")["sequence"] == 5


def changed(sealed, **fields):
    return json.dumps({**json.loads(sealed), **fields}).encode()


SIGNED = seal(manifest(), SIGNER)
UNBELIEVABLE = {
    "not signed": seal(manifest(), None),
    "signed by a stranger": seal(manifest(), STRANGER),
    "a stranger's signature under a known name": changed(
        SIGNED, signature=json.loads(seal(manifest(), STRANGER))["signature"]
    ),
    "changed afterwards": changed(SIGNED, manifest=json.loads(SIGNED)["manifest"].replace('"songs":1', '"songs":2')),
    "another's signature": changed(SIGNED, signature=json.loads(seal(manifest(sequence=6), SIGNER))["signature"]),
    "without signature": changed(SIGNED, signature=None),
    "no Base64": changed(SIGNED, signature="!"),
    "no JSON": b"{",
    "no manifest": seal(manifest(), SIGNER).replace(b"manifest", b"manifesto"),
}


@pytest.mark.parametrize("name", UNBELIEVABLE)
def test_manifest_is_refused_by_both_when_it_is(javascript_kernel, name):
    from backend.errors import BundleRefused

    with pytest.raises(RefusedByJavaScriptError):
        javascript_kernel.open_manifest(UNBELIEVABLE[name], public_text(SIGNER))
    with pytest.raises(BundleRefused):
        unseal(UNBELIEVABLE[name], TRUSTED)


def test_file_is_told_from_another_by_length_and_hash(javascript_kernel):
    file = {"name": "a", "sha256": SHA256, "bytes": 0}
    assert javascript_kernel.check_file(b"", file) is None
    for body, expected in ((b"x", file), (b"x", {**file, "bytes": 1})):
        with pytest.raises(RefusedByJavaScriptError):
            javascript_kernel.check_file(body, expected)
