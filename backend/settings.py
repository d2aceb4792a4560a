"""Every setting, from the environment (`SONICA_*`) and nowhere else; each limit says why it is what it is."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sonica_fingerprint import OTHER_SPEEDS

_SPEED = r"(0\.[89]\d?|1\.[01]\d?|1\.20?)"


class Settings(BaseSettings):
    """The settings of the origin and of the `sonica` command."""

    model_config = SettingsConfigDict(
        env_prefix="SONICA_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # URLs hold passwords
    )

    data_dir: Path = Field(Path("data"), description="Folder of the embedded database and the index snapshots.")
    database_url: str | None = Field(
        None, description="PostgreSQL to use, `postgresql://...`; unset starts the embedded one in the data folder."
    )
    database_pool_max: int = Field(
        8,
        ge=1,
        description="Database connections at most; two serve two cores, eight leave room for listings.",
    )
    database_timeout_seconds: float = Field(5.0, gt=0, description="A statement that takes longer is given up.")
    database_wait_seconds: float = Field(
        1.0,
        gt=0,
        description="How long a recognition waits for the songs' details, and any request for its caller's key: "
        "without the former it is answered `degraded`.",
    )
    database_failures_max: int = Field(
        3, ge=1, description="After so many failures in a row, the database is left alone ..."
    )
    database_retry_seconds: float = Field(1.0, gt=0, description="... for this long, then tried by one request.")

    database_secret: str | None = Field(
        None,
        description="Name or ARN of the secret in AWS Secrets Manager that has the database's host, port, username, "
        "password and dbname, as RDS writes them; what SONICA_DATABASE_URL says besides goes first. Read at the start.",
    )
    aws_region: str | None = Field(None, description="Region of AWS; unset: that of the machine's own AWS settings.")
    aws_endpoint_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Where S3, SQS and Secrets Manager are, if not at AWS: MinIO, a VPC endpoint, a test's stand-in.",
    )

    host: str = Field("127.0.0.1", description="Address to serve on; any but loopback needs SONICA_AUTH=on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to serve on.")

    body_bytes_max: int = Field(
        10_000_000, ge=1, description="Largest request body; 20 s of stereo 48 kHz 24-bit WAV is 5.8 MB."
    )
    clip_seconds_max: float = Field(
        20.0, gt=0, description="Seconds of a clip that are used; more adds cost, no accuracy."
    )
    request_seconds_max: float = Field(15.0, gt=0, description="Deadline of a request, upload included.")
    concurrent_requests_max: int = Field(
        64, ge=1, description="Recognitions under way at most; further ones get 503. Each holds up to 20 MB."
    )

    concurrent_decodes_max: int | None = Field(
        None,
        ge=1,
        description="Clips decoded at a time, others wait; unset takes one for each core, more would share it.",
    )
    concurrent_searches_max: int | None = Field(
        None,
        ge=1,
        description="Clips fingerprinted, searched and verified at a time, others wait; unset takes one for each core, "
        "more would take turns and half as much CPU again; with Milvus, which is waited for, 16 times as many.",
    )
    decoder_seconds_max: float = Field(8.0, gt=0, description="Time that the ffmpeg subprocess may take.")
    decoder_memory_bytes_max: int = Field(
        1_000_000_000, ge=1, description="Address space that the ffmpeg subprocess may take."
    )
    ffmpeg_path: str | None = Field(
        None, description="The ffmpeg to run; unset takes the system's, else the bundled one."
    )

    song_seconds_max: float = Field(
        3 * 3600.0, gt=0, description="Longest file that `sonica ingest` takes; longer ones are mixes, not songs."
    )
    song_bytes_max: int = Field(
        4_000_000_000,
        ge=1,
        description="Largest object that is downloaded to be ingested; three hours of 24-bit stereo are 3.1 GB.",
    )
    ingest_workers: int | None = Field(
        None, ge=1, description="Processes that `sonica ingest` decodes and extracts in; unset takes one for each core."
    )
    ingest_save_seconds: float = Field(
        600.0,
        gt=0,
        description="How often a long ingest saves the index; a crash costs at most this much catching up.",
    )

    candidates_max: int = Field(24, ge=1, description="Alignments verified for each query.")
    false_accept_rate: float = Field(
        0.01,
        ge=0.0001,
        le=0.05,
        description="Share of clips of no song here that may get an answer; README has how it was measured.",
    )
    speeds: str = Field(
        ",".join(map(str, OTHER_SPEEDS)),
        pattern=rf"^(off|{_SPEED}(,{_SPEED}){{0,3}})$",
        description="A clip without an answer is looked at again as if it played at these speeds, 0.8 to 1.2 in whole "
        "per cents, four at most: each costs another extraction and search, and may give a tenth of the false answers; "
        "`off` for none.",
    )
    index_kind: Literal["hnsw", "compact", "exact", "milvus"] = Field(
        "hnsw",
        description="How segments are kept: `hnsw` in 1 MB an hour, `compact` in 0.3, which finds a little less, "
        "`exact` in 0.9, each compared, for up to 1,000 songs, or in `milvus`; docs/scale.md says which when.",
    )
    hnsw_search_depth: int = Field(
        256,
        ge=8,
        description="HNSW efSearch: larger finds more, slower. A first look goes an eighth as deep, and only clips "
        "without an answer get the whole.",
    )
    index_shard_segments: int | None = Field(
        None,
        ge=1_000,
        description="Segments a shard of the index, 470 a song; a full one is saved once, and rebuilt alone. Each "
        "makes searches slower, see docs/scale.md; unset: a single one.",
    )
    milvus_uri: str | None = Field(
        None,
        description="Milvus: `http://host:19530`, `https://...`, or a file ending in .db, which milvus-lite keeps in "
        "this process alone.",
    )
    milvus_token: SecretStr | None = Field(
        None, description="`user:password` or the API key of Milvus; unset where it asks for none."
    )
    milvus_collection: str = Field(
        "sonica",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$",
        description="The alias of the collection in use; a reindexing makes another one and moves the alias.",
    )
    milvus_index_type: Literal["HNSW", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "FLAT"] = Field(
        "HNSW", description="How Milvus keeps vectors; a change takes `sonica index build`, and IVF_PQ a server."
    )
    milvus_consistency: Literal["Strong", "Bounded", "Session", "Eventually"] = Field(
        "Bounded", description="What a search is sure to see; Bounded may miss songs of the last seconds."
    )
    milvus_timeout_seconds: float = Field(2.0, gt=0, description="A search that takes longer is given up.")
    milvus_batch_rows: int = Field(
        4_000, ge=1, le=16_000, description="Rows sent at a time, 2 MB; the next go when these are taken."
    )
    milvus_failures_max: int = Field(3, ge=1, description="After so many failures in a row, Milvus is left alone ...")
    milvus_retry_seconds: float = Field(1.0, gt=0, description="... for this long, then tried by one request.")
    index_poll_seconds: float = Field(2.0, gt=0, description="How often a server looks for catalogue changes.")

    bundle_url: str | None = Field(
        None,
        description="Where bundles are published, and the server's index comes from: `s3://bucket/prefix` or a folder; "
        "unset: an index is made from the catalogue and saved in the data folder.",
    )
    bundle_public_keys: str = Field(
        "",
        pattern=r"^\s*([A-Za-z0-9+/]{43}=\s*(,\s*|$))*$",
        description="Who may publish: Ed25519 public keys of `sonica bundles keygen`, separated by commas, two while "
        "one takes over from the other; unset, only a folder's bundles are believed.",
    )
    bundle_private_key: SecretStr | None = Field(
        None, description="The key that `sonica bundles publish` signs by: PEM, or the file that has it."
    )
    bundle_dir: Path | None = Field(
        None,
        description="Where downloaded bundles are kept; unset takes `bundles` in the data folder, on AWS Lambda /tmp.",
    )
    bundle_poll_seconds: float = Field(30.0, gt=0, description="How often a server looks for a new bundle.")
    bundle_downloads_max: int = Field(
        4, ge=1, description="Parts of 16 MB that are downloaded at a time; more share the same line."
    )
    bundle_kept: int = Field(
        3, ge=1, le=100, description="Bundles of a channel that are kept, the published one included: to go back to."
    )
    bundle_grace_seconds: float = Field(
        86_400.0,
        ge=0,
        description="What was written later is never collected: a publisher or a download may be at work on it.",
    )
    bundle_deltas_max: int = Field(
        8,
        ge=0,
        description="Deltas in a row before a whole bundle is published; each makes a start longer.",
    )

    origin_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Whom `sonica edge-node` asks for what its bundle does not know; unset: nobody.",
    )
    origin_seconds_max: float = Field(
        5.0, gt=0, description="How long an edge node waits for the origin; then it says `origin_unavailable`."
    )

    cache_bytes_max: int = Field(
        1_000_000_000,
        ge=0,
        description="Memory that the cache may take, about; 0 keeps nothing in memory. An answer takes about 15 kB.",
    )
    cache_ttl_seconds: float = Field(300.0, gt=0, description="How long memory keeps an answer or a song.")
    cache_redis_ttl_seconds: float = Field(3600.0, gt=0, description="How long Redis keeps them.")
    cache_no_match_ttl_seconds: float = Field(
        30.0, gt=0, description="How long a no-match is kept: the song may be added meanwhile."
    )
    cache_stale_seconds: float = Field(
        60.0, ge=0, description="How long beyond its time a match is still given, while it is computed anew."
    )
    cache_turn_seconds: float = Field(
        0.5, gt=0, description="How long a process waits for another that computes the same answer, were it to crash."
    )
    cache_warm_songs: int = Field(
        1000, ge=0, description="Popular songs, and as many recently recognised ones, that a server loads at its start."
    )

    redis_url: str | None = Field(
        None,
        pattern=r"^(rediss?(\+cluster)?|unix)://",
        description="Redis that processes share the cache through, `redis://`, `rediss://`, `unix://` or, of a "
        "cluster, `redis+cluster://`; unset: each has its memory alone.",
    )
    redis_timeout_seconds: float = Field(0.05, gt=0, description="Without an answer by then, Redis is done without.")
    redis_failures_max: int = Field(3, ge=1, description="After so many failures in a row, Redis is left alone ...")
    redis_retry_seconds: float = Field(1.0, gt=0, description="... for this long, then tried by one request.")

    auth: Literal["off", "on"] = Field(
        "off", description="Whether callers must say who they are; off serves this machine alone, on loopback."
    )
    jwt_jwks: str | None = Field(
        None,
        description="The token issuer's public keys: the URL of its JWKS, or the JSON itself; unset takes no tokens.",
    )
    jwt_issuer: str | None = Field(None, description="The `iss` that a token must have; needed for tokens.")
    jwt_audience: str | None = Field(None, description="The `aud` that a token must have; needed for tokens.")
    jwt_algorithms: str = Field(
        "RS256,ES256,Ed25519",
        pattern=r"^([RPE]S(256|384|512)|Ed25519)(,([RPE]S(256|384|512)|Ed25519))*$",
        description="Signatures that a token may have; none by a shared secret, with which a verifier could sign.",
    )
    jwt_lifetime_seconds_max: int = Field(
        900, ge=1, description="From a token's `iat` to its `exp` at most: a stolen one is good for so long."
    )
    access_outage_seconds: float = Field(
        300.0,
        ge=10,
        description="While the database is away, whoever was known goes on for so long; a key that was revoked just "
        "before ends that late. Otherwise a revoked key ends within 10 s.",
    )
    history_months: int = Field(
        24,
        ge=1,
        le=1200,
        description="Whole months of recognition history that are kept, the present one besides; older ones go.",
    )
    api_key: SecretStr | None = Field(
        None, description="The API key or token that `sonica recognize --server` sends; a server does not read it."
    )

    rate_limit_window_seconds: int = Field(900, ge=1, description="The time that the following quotas are for.")
    rate_limit_free: int = Field(100, ge=1, description="Requests of a user of the role `free`, all keys together.")
    rate_limit_premium: int = Field(5_000, ge=1, description="Requests of a user of the role `premium`: 5 a second.")
    rate_limit_admin: int = Field(50_000, ge=1, description="Requests of a user of the role `admin`.")
    rate_limit_address: int = Field(
        1_000,
        ge=1,
        description="Requests of an address without credentials or of the role `free`; phone networks share addresses.",
    )
    trusted_proxies: str = Field(
        "",
        description="Networks such as `10.0.0.0/8,::1` whose X-Forwarded-For tells a caller's address; of others it "
        "is not read.",
    )

    lambda_unguarded: bool = Field(
        False, description="On AWS Lambda, SONICA_AUTH=off is refused unless this is set, as where IAM is the guard."
    )

    keep_alive_seconds: int = Field(
        75, ge=1, description="How long an idle connection stays open: longer than balancers keep theirs (AWS: 60 s)."
    )
    shutdown_notice_seconds: float = Field(
        0.0,
        ge=0,
        description="How long after SIGTERM requests are still taken while /readyz says 503: as long as a balancer "
        "takes to look elsewhere. A second signal, or Ctrl-C, ends it.",
    )
    shutdown_seconds_max: float = Field(
        15.0, ge=0, description="How long a server that stops waits for the requests under way."
    )

    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://",
        description="OpenTelemetry collector that traces are sent to (OTLP over HTTP), `http://127.0.0.1:4318`; unset: "
        "none are made.",
    )
    otlp_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the requests that are traced, of those whose `traceparent` does not say so itself; "
        "each costs 0.3 ms CPU.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least severe of what is logged."
    )

    @property
    def other_speeds(self) -> tuple[float, ...]:
        """The speeds that a clip without an answer is looked at again at."""
        return () if self.speeds == "off" else tuple(map(float, self.speeds.split(",")))

    @property
    def embeds_database(self) -> bool:
        """Whether the database is the embedded one."""
        return self.database_url is None and self.database_secret is None

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        """Refuse here what is no list of networks, so that the setting is named."""
        for part in filter(None, map(str.strip, value.split(","))):
            ip_network(part)
        return value
