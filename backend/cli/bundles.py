"""`sonica bundles`: publish indexes, look at what is published, go back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.options import DataDir, Json, settings_from
from backend.cli.output import print_json, reporting, shown, stderr, stdout

if TYPE_CHECKING:
    from backend.bundles.manifest import BundleManifest
    from backend.bundles.publisher import Publisher
    from backend.bundles.publishing import Plan
    from backend.bundles.store import BundleStore, StoredBundle
    from backend.settings import Settings

bundle_commands = typer.Typer(
    help="Publish indexes for servers and the edge (SONICA_BUNDLE_URL), and see what is published.",
    no_args_is_help=True,
)

Channel = Annotated[
    str | None,
    typer.Option(help="hnsw, compact, exact or hot; SONICA_INDEX_KIND unless given.", show_default=False),
]
Sequence = Annotated[int | None, typer.Argument(help="The bundle's number.", show_default=False, min=1)]


@bundle_commands.command()
def publish(
    hot: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Publish the bundle of the N most popular songs instead, for the edge."),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="A whole bundle, also where a delta would do.")] = False,
    force: Annotated[bool, typer.Option("--force", help="In place of whatever is published there.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Publish the index, caught up with the catalogue: what has changed since, where that is little, else all of it.

    What no kept bundle has is deleted from the store once it is older than SONICA_BUNDLE_GRACE_SECONDS.
    """
    from backend.bundles.publishing import Plan

    with reporting(as_json=as_json):
        settings = settings_from(data_dir)
        channel = "hot" if hot is not None else None
        publisher = _publisher(settings, channel)
        plan = Plan(whole=whole, force=force, deltas_max=settings.bundle_deltas_max)
        bundle = asyncio.run(_publish(settings, publisher, plan, hot=hot))
        collected = publisher.collect()
        if as_json:
            document = {"bundle": _document(bundle) if bundle else None, "files_deleted": collected.files}
            print_json(document)
            return
        stdout().print(_line(bundle) if bundle else "Nothing has changed since the bundle that is published.")
        if collected.files:
            stderr().print(f"Deleted {collected.files} old files, {collected.bytes / 1e6:,.1f} MB.")


@bundle_commands.command("list")
def list_bundles(channel: Channel = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the bundles that are kept, the published one first; also those whose signer is not trusted any more."""
    with reporting(as_json=as_json):
        bundles = list(_kept(_store(settings_from(data_dir), channel)))
        if as_json:
            print_json({"items": [_document(bundle, trusted=trusted) for bundle, trusted in bundles]})
            return
        from rich.table import Table

        table = Table("bundle", "published", "revision", "songs", "segments", "MB", "deltas", "signed by", box=None)
        for bundle, trusted in bundles:
            table.add_row(*_row(bundle, trusted=trusted))
        stdout().print(table)


@bundle_commands.command()
def show(sequence: Sequence = None, channel: Channel = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show all that a bundle says of itself; unless named, of the published one."""
    with reporting(as_json=as_json):
        document = _document(_named(_store(settings_from(data_dir), channel), sequence))
        if as_json:
            print_json(document)
            return
        for name, value in document.items():
            stdout().print(f"{name}: {shown(str(value))}")


@bundle_commands.command()
def verify(sequence: Sequence = None, channel: Channel = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Read a bundle's every byte where it is published, and check hashes and signature."""
    with reporting(as_json=as_json):
        store = _store(settings_from(data_dir), channel)
        bundle = _named(store, sequence)
        for file in bundle.manifest.all_files():
            store.check_content(file)
        if as_json:
            print_json(_document(bundle))
            return
        signed = f"signed by {_signer(bundle)}" if _signer(bundle) else "not signed"
        stdout().print(f"Bundle {bundle.manifest.sequence} is whole, and {signed}.")


@bundle_commands.command()
def rollback(
    sequence: Sequence = None, channel: Channel = None, data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Publish an earlier bundle again, under a new number; unless named, the one before the published one."""
    with reporting(as_json=as_json):
        bundle = _publisher(settings_from(data_dir), channel).roll_back(sequence)
        if as_json:
            print_json(_document(bundle))
            return
        stdout().print(f"Gone back to {bundle.manifest.restores}. {_line(bundle)}")


@bundle_commands.command()
def fetch(
    folder: Annotated[Path, typer.Argument(help="Where the files go.", show_default=False)],
    sequence: Sequence = None,
    channel: Channel = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Download a bundle's files into a folder, checked; the sealed manifest goes beside them."""
    from backend.errors import StorageUnavailable

    with reporting(as_json=as_json):
        settings = settings_from(data_dir)
        store = _store(settings, channel)
        bundle = _named(store, sequence)
        try:
            places = _fetch(store, bundle, folder, threads=settings.bundle_downloads_max)
        except OSError as error:
            raise StorageUnavailable(f"{folder} cannot be written: {error.strerror or error}") from error
        if as_json:
            print_json({"bundle": _document(bundle), "files": [str(place) for place in places]})
            return
        for place in places:
            stdout().print(shown(str(place)))


@bundle_commands.command()
def keygen(
    file: Annotated[Path, typer.Argument(help="Where the private key goes; it must not be there.")],
    as_json: Json = False,
) -> None:
    """Make a pair of keys: a private one for SONICA_BUNDLE_PRIVATE_KEY, a public one for SONICA_BUNDLE_PUBLIC_KEYS."""
    from backend.bundles.signatures import new_private_key, public_text, read_private_key
    from backend.errors import StorageUnavailable

    with reporting(as_json=as_json):
        pem = new_private_key()
        try:
            file.touch(mode=0o600, exist_ok=False)
            file.write_text(pem)
        except OSError as error:
            raise StorageUnavailable(f"{file} cannot be written: {error.strerror or error}") from error
        public = public_text(read_private_key(pem))
        if as_json:
            print_json({"private_key_file": str(file), "public_key": public})
            return
        stdout().print(public)
        stderr().print(f"The private key is in {shown(str(file))}: keep it where bundles are published, nowhere else.")


async def _publish(settings: Settings, publisher: Publisher, plan: Plan, *, hot: int | None) -> StoredBundle | None:
    from backend.bundles.publishing import publish_hot, publish_index
    from backend.cli.hot_bundle import make_hot_bundle
    from backend.composition import open_origin
    from backend.errors import InvalidRequest
    from backend.search.faiss_index import FaissIndex

    # Its own index, from its own snapshots: what is published is not made of what was published.
    async with open_origin(settings.model_copy(update={"bundle_url": None})) as origin:
        if hot is not None:
            publish_it = partial(publish_hot, await make_hot_bundle(origin, hot), publisher=publisher, plan=plan)
            name, revision = await origin.catalogue.name(), origin.index.status().revision
            return await asyncio.to_thread(publish_it, catalogue=name, revision=revision)
        if not isinstance(origin.index, FaissIndex):
            raise InvalidRequest("Milvus keeps its index itself: there is none to publish but the hot one, by --hot N")
        await asyncio.to_thread(origin.index.save)
        return await publish_index(origin.index, origin.catalogue, publisher, plan)


def _store(settings: Settings, channel: str | None) -> BundleStore:
    from typing import get_args

    from backend.bundles import manifest
    from backend.bundles.store import open_store
    from backend.errors import InvalidRequest

    wanted = channel or settings.index_kind
    for known in get_args(manifest.Channel):
        if wanted == known:
            return open_store(settings, known)
    raise InvalidRequest(f"there is no channel {wanted}: it is one of {', '.join(get_args(manifest.Channel))}")


def _publisher(settings: Settings, channel: str | None) -> Publisher:
    from backend.bundles.publisher import Keeping, Publisher
    from backend.bundles.signatures import read_private_key
    from backend.errors import InvalidRequest

    store = _store(settings, channel)
    secret = settings.bundle_private_key
    if secret is None and (settings.bundle_public_keys or str(settings.bundle_url).startswith("s3:")):
        raise InvalidRequest("SONICA_BUNDLE_PRIVATE_KEY is unset: nobody would believe the bundle")
    key = read_private_key(secret.get_secret_value()) if secret else None
    return Publisher(store, key, Keeping(settings.bundle_kept, settings.bundle_grace_seconds))


def _kept(store: BundleStore) -> Iterator[tuple[StoredBundle, bool]]:
    """Yield each bundle, and whether it is believed."""
    from backend.errors import BundleRefused

    current = store.current()
    for name in current.pointer.kept if current else ():
        try:
            yield store.bundle(name), True
        except BundleRefused:
            yield store.claimed(name), False


def _named(store: BundleStore, sequence: int | None) -> StoredBundle:
    from backend.errors import BundleNotFound

    current = store.current()
    if current is None:
        raise BundleNotFound(f"nothing is published in the channel {store.channel}")
    if sequence is None:
        return store.pointed(current.pointer)
    for name in current.pointer.kept:
        if int(name[:16]) == sequence:
            return store.bundle(name)
    raise BundleNotFound(f"there is no bundle {sequence}: `sonica bundles list` has those that are kept")


def _fetch(store: BundleStore, bundle: StoredBundle, folder: Path, *, threads: int) -> list[Path]:
    from backend.bundles.downloads import Downloads

    places = Downloads(folder / ".downloads", threads=threads).fetch(store, list(bundle.manifest.all_files()))
    for name, path in places.items():
        path.replace(folder / name)
    (folder / "manifest.json").write_bytes(bundle.sealed)
    return [*(folder / name for name in places), folder / "manifest.json"]


def _signer(bundle: StoredBundle) -> str | None:
    from backend.bundles.signatures import Sealed

    return Sealed.model_validate_json(bundle.sealed).key


def _size(manifest: BundleManifest) -> int:
    return sum(file.bytes for file in manifest.all_files())


def _document(bundle: StoredBundle, *, trusted: bool = True) -> dict[str, Any]:
    found = {"bytes": _size(bundle.manifest), "signed_by": _signer(bundle), "trusted": trusted}
    return bundle.manifest.model_dump(mode="json") | found


def _line(bundle: StoredBundle) -> str:
    manifest = bundle.manifest
    size = f"{_size(manifest) / 1e6:,.1f} MB"
    if manifest.deltas and manifest.restores is None:
        size = f"a delta of {manifest.deltas[-1].file.bytes / 1e6:,.1f} MB"
    return f"Bundle {manifest.sequence} of {manifest.channel} is published: {manifest.songs:,} songs, {size}."


def _row(bundle: StoredBundle, *, trusted: bool) -> list[str]:
    manifest = bundle.manifest
    number = str(manifest.sequence) + (f" (= {manifest.restores})" if manifest.restores else "")
    counts = [f"{count:,}" for count in (manifest.revision, manifest.songs, manifest.segments)]
    size, deltas = f"{_size(manifest) / 1e6:,.1f}", str(len(manifest.deltas))
    signer = (_signer(bundle) or "nobody") + ("" if trusted else ", not trusted")
    return [number, f"{manifest.created_at:%Y-%m-%d %H:%M}", *counts, size, deltas, signer]
