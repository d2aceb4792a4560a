"""Who may publish: manifests are signed by Ed25519 (RFC 8032), and believed by the keys that a reader names.

A sealed manifest is a JSON document: `manifest`, the text that is signed behind CONTEXT; `key`, the first 16 hex digits
of the public key's SHA-256; `signature`, Base64. Both are null where nobody signed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import Field, ValidationError

from backend.bundles.manifest import BundleManifest, Document
from backend.errors import BundleRefused, InvalidRequest

CONTEXT = b"sonica bundle 1\n"  # what else the key may sign cannot pass for a manifest
SEALED_BYTES_MAX = 1_000_000  # of a sealed manifest: what is longer is none

PublicKeys: TypeAlias = Mapping[str, Ed25519PublicKey]  # by `key`


class Sealed(Document):
    """A manifest as it is stored."""

    manifest: str
    key: str | None = Field(pattern=r"^[0-9a-f]{16}$")
    signature: str | None


def new_private_key() -> str:
    """Return a new private key, PEM (PKCS #8, not encrypted)."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def read_private_key(pem_or_path: str) -> Ed25519PrivateKey:
    """Read a private key, or the file that has it; raises InvalidRequest, which says nothing of its content."""
    try:
        pem = pem_or_path.encode() if "-----BEGIN" in pem_or_path else Path(pem_or_path).expanduser().read_bytes()
        key = load_pem_private_key(pem, password=None)
    except OSError as error:
        raise InvalidRequest(f"SONICA_BUNDLE_PRIVATE_KEY: the file cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidRequest("SONICA_BUNDLE_PRIVATE_KEY is no Ed25519 key in PEM: `sonica bundles keygen` makes one")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """Return the public key as settings name it, Base64 of its 32 bytes."""
    return base64.b64encode(_raw(key.public_key())).decode()


def read_public_keys(text: str) -> PublicKeys:
    """Read public keys, separated by commas; raises InvalidRequest."""
    keys: dict[str, Ed25519PublicKey] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            raw = base64.b64decode(part, validate=True)
            keys[_key_id(raw)] = Ed25519PublicKey.from_public_bytes(raw)
        except ValueError as error:
            raise InvalidRequest(f"SONICA_BUNDLE_PUBLIC_KEYS: {part} is not Base64 of 32 bytes") from error
    return keys


def seal(manifest: BundleManifest, key: Ed25519PrivateKey | None) -> bytes:
    """Return the manifest as it is stored, signed if there is a key."""
    text = manifest.model_dump_json()
    if key is None:
        return Sealed(manifest=text, key=None, signature=None).model_dump_json().encode()
    signature = base64.b64encode(key.sign(CONTEXT + text.encode())).decode()
    sealed = Sealed(manifest=text, key=_key_id(_raw(key.public_key())), signature=signature)
    return sealed.model_dump_json().encode()


def unseal(body: bytes, trusted: PublicKeys) -> BundleManifest:
    """Return the manifest if one of the keys signed it, or if none are named; raises BundleRefused."""
    try:
        sealed = Sealed.model_validate_json(body)
        if trusted:
            _check_signature(sealed, trusted)
        return BundleManifest.model_validate_json(sealed.manifest)
    except ValidationError as error:
        flaw = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, flaw["loc"]))
        raise BundleRefused(f"the manifest is not one that this program reads: {place} {flaw['msg']}".strip()) from None


def _check_signature(sealed: Sealed, trusted: PublicKeys) -> None:
    if sealed.key is None or sealed.signature is None:
        raise BundleRefused("the manifest is not signed")
    key = trusted.get(sealed.key)
    if key is None:
        raise BundleRefused(f"the manifest is signed by {sealed.key}, no key in SONICA_BUNDLE_PUBLIC_KEYS")
    try:
        key.verify(base64.b64decode(sealed.signature, validate=True), CONTEXT + sealed.manifest.encode())
    except (InvalidSignature, ValueError):
        raise BundleRefused("the signature does not fit: the manifest was changed after it was signed") from None


def _key_id(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
