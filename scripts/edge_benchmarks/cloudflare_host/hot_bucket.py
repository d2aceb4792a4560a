"""The bucket of the hot indexes, published to as `sonica bundles publish --hot` does."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.bundles.objects import FolderObjects
from backend.bundles.publisher import Keeping, Publisher
from backend.bundles.publishing import Plan, publish_hot
from backend.bundles.store import BundleStore, StoredBundle
from edge_benchmarks.cloudflare_host.edge import EdgeHost

CURRENT = "hot/current"


class HotBucket:
    """A folder that is published to, and copied into the bucket."""

    def __init__(self, host: EdgeHost, key: Ed25519PrivateKey | None = None) -> None:
        """key: that signs; none leaves bundles unsigned."""
        self._host = host
        self._folder = Path(tempfile.mkdtemp(prefix="sonica-hot-"))
        self._objects = FolderObjects(self._folder)
        self._key = key
        self._revision = 0

    def publish(self, bundle: bytes) -> StoredBundle:
        """Publish a bundle of the hot index, in place of whatever is there."""
        return self.publish_as(bundle, self._key)

    def publish_as(self, bundle: bytes, key: Ed25519PrivateKey | None) -> StoredBundle:
        """Publish one that another key signs, or none."""
        publisher = Publisher(BundleStore(self._objects, "hot", trusted={}), key, Keeping(3, 86_400))
        self._revision += 1
        published = publish_hot(
            bundle, catalogue="catalogue", revision=self._revision, publisher=publisher, plan=Plan(force=True)
        )
        assert published is not None
        file = published.manifest.files[0]
        for name in (f"hot/files/{file.sha256}", f"hot/manifests/{published.name}", CURRENT):
            self._host.put_object(name, (self._folder / name).read_bytes())
        return published

    def current(self) -> bytes:
        """Return what points to the published bundle."""
        return (self._folder / CURRENT).read_bytes()

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self._folder)
