"""Every error that the origin raises on purpose, each with its HTTP status and stable code.

SonicaError
├── InputError                       the caller's request cannot be served as it is
│   ├── ClipTooLarge                 413 clip_too_large
│   ├── UnsupportedAudio             415 unsupported_audio
│   ├── UndecodableAudio             422 undecodable_audio
│   ├── UnusableSong                 422 unusable_song
│   │   ├── UnreadableFile           422 unreadable_file
│   │   ├── SilentSong               422 silent_song
│   │   ├── SongTooShort             422 song_too_short
│   │   ├── SongTooLong              422 song_too_long
│   │   └── WorkerCrashed            422 worker_crashed
│   ├── InvalidRequest               422 invalid_request
│   ├── DamagedBackup                422 damaged_backup
│   ├── InvalidFingerprint           422 invalid_fingerprint
│   ├── Unauthenticated              401 unauthenticated
│   ├── InvalidCredentials           401 invalid_credentials
│   ├── InsufficientScope            403 insufficient_scope
│   ├── TooManyRequests              429 too_many_requests
│   ├── UserNotFound                 404 user_not_found
│   ├── KeyNotFound                  404 key_not_found
│   ├── SongNotFound                 404 song_not_found
│   ├── BundleNotFound               404 bundle_not_found
│   ├── BundleConflict               409 bundle_conflict
│   ├── MatchNotFound                404 match_not_found
│   ├── ObjectNotFound               404 object_not_found
│   ├── ObjectChanged                412 object_changed
│   ├── ObjectTooLarge               413 object_too_large
│   ├── NotFound                     404 not_found
│   └── MethodNotAllowed             405 method_not_allowed
├── UnavailableError                 the service cannot answer now; try again
│   ├── CatalogueUnavailable         503 catalogue_unavailable
│   ├── IndexUnavailable             503 index_unavailable
│   ├── IssuerUnavailable            503 issuer_unavailable
│   ├── StorageUnavailable           503 storage_unavailable
│   ├── ObjectStoreUnavailable       503 object_store_unavailable
│   ├── QueueUnavailable             503 queue_unavailable
│   ├── SecretUnavailable            503 secret_unavailable
│   ├── OriginUnavailable            503 origin_unavailable
│   ├── AddressUnavailable           503 address_unavailable
│   ├── DeadlineExceeded             503 deadline_exceeded
│   ├── Overloaded                   503 overloaded
│   ├── DecoderUnavailable           503 decoder_unavailable
│   └── NotReady                     503 not_ready
└── StateError                       what is stored does not fit this program; a command mends it
    ├── IndexVersionMismatch         500 index_version_mismatch
    ├── BundleRefused                500 bundle_refused
    └── SchemaVersionMismatch        500 schema_version_mismatch
"""

from typing import ClassVar


class SonicaError(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_after_seconds: ClassVar[int | None] = None
    cache_control: ClassVar[str] = "no-store"

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        super().__init__(self.detail)


class InputError(SonicaError):
    """The request cannot be served as it is."""

    status = 400
    code = "bad_request"


class ClipTooLarge(InputError):
    """The clip is larger than this service accepts."""

    status = 413
    code = "clip_too_large"


class UnsupportedAudio(InputError):
    """The body is of no audio format that this service reads."""

    status = 415
    code = "unsupported_audio"


class UndecodableAudio(InputError):
    """The audio cannot be decoded: it is truncated, damaged or not what it claims to be."""

    status = 422
    code = "undecodable_audio"


class UnusableSong(InputError):
    """The file cannot become a song of the catalogue."""

    status = 422
    code = "unusable_song"


class UnreadableFile(UnusableSong):
    """The file cannot be read."""

    code = "unreadable_file"


class SilentSong(UnusableSong):
    """The whole file is silent, so nothing in it can be recognised."""

    code = "silent_song"


class SongTooShort(UnusableSong):
    """The file is shorter than one second, so nothing in it can be recognised."""

    code = "song_too_short"


class SongTooLong(UnusableSong):
    """The file is longer than a song; SONICA_SONG_SECONDS_MAX moves the limit."""

    code = "song_too_long"


class WorkerCrashed(UnusableSong):
    """Reading the file crashes the process that reads it: it is damaged, or the machine lacks memory."""

    code = "worker_crashed"


class InvalidRequest(InputError):
    """The request is not of the documented form."""

    status = 422
    code = "invalid_request"


class DamagedBackup(InputError):
    """The file is no whole backup of a catalogue."""

    status = 422
    code = "damaged_backup"


class InvalidFingerprint(InputError):
    """The body is not a fingerprint that this service reads."""

    status = 422
    code = "invalid_fingerprint"


class Unauthenticated(InputError):
    """The request does not say who asks: send an API key or a token as `Authorization: Bearer`."""

    status = 401
    code = "unauthenticated"


class InvalidCredentials(InputError):
    """The API key or token is unknown, expired, revoked or not meant for this service."""

    status = 401
    code = "invalid_credentials"


class InsufficientScope(InputError):
    """This API key or token does not allow that."""

    status = 403
    code = "insufficient_scope"


class TooManyRequests(InputError):
    """The quota of requests is used up; Retry-After says when there is a new one."""

    status = 429
    code = "too_many_requests"


class UserNotFound(InputError):
    """No user has this name."""

    status = 404
    code = "user_not_found"


class KeyNotFound(InputError):
    """No API key has this prefix."""

    status = 404
    code = "key_not_found"


class SongNotFound(InputError):
    """No song has this id."""

    status = 404
    code = "song_not_found"


class BundleNotFound(InputError):
    """There is no such bundle."""

    status = 404
    code = "bundle_not_found"


class BundleConflict(InputError):
    """A newer bundle is published already."""

    status = 409
    code = "bundle_conflict"


class MatchNotFound(InputError):
    """Nothing is known of this fingerprint yet: POST it to /v1/recognize."""

    status = 404
    code = "match_not_found"
    cache_control = "public, max-age=5"  # a caller that was told so is about to POST it


class ObjectNotFound(InputError):
    """The object store has no object of this key."""

    status = 404
    code = "object_not_found"


class ObjectChanged(InputError):
    """The object is not the one that it was, or is there already."""

    status = 412
    code = "object_changed"


class ObjectTooLarge(InputError):
    """The object is larger than what is read of objects of its kind."""

    status = 413
    code = "object_too_large"


class NotFound(InputError):
    """There is nothing at this path."""

    status = 404
    code = "not_found"


class MethodNotAllowed(InputError):
    """This path does not take this method."""

    status = 405
    code = "method_not_allowed"


class UnavailableError(SonicaError):
    """The service cannot answer now; try again."""

    status = 503
    code = "unavailable"
    retry_after_seconds = 1


class CatalogueUnavailable(UnavailableError):
    """The catalogue's database cannot be reached."""

    code = "catalogue_unavailable"


class IndexUnavailable(UnavailableError):
    """The engine that holds the index does not answer."""

    code = "index_unavailable"


class IssuerUnavailable(UnavailableError):
    """The public keys of the tokens' issuer cannot be fetched."""

    code = "issuer_unavailable"


class StorageUnavailable(UnavailableError):
    """The data folder cannot be written."""

    code = "storage_unavailable"


class ObjectStoreUnavailable(UnavailableError):
    """The object store does not answer, or does not allow what is asked of it."""

    code = "object_store_unavailable"


class QueueUnavailable(UnavailableError):
    """The queue does not answer, or does not allow what is asked of it."""

    code = "queue_unavailable"


class SecretUnavailable(UnavailableError):
    """The secret that holds the database's password cannot be read."""

    code = "secret_unavailable"


class OriginUnavailable(UnavailableError):
    """The origin cannot be reached, and the edge node does not know the song by itself."""

    code = "origin_unavailable"


class AddressUnavailable(UnavailableError):
    """The server cannot listen on its address, or no server answers there."""

    code = "address_unavailable"


class DeadlineExceeded(UnavailableError):
    """The request took longer than its deadline."""

    code = "deadline_exceeded"


class Overloaded(UnavailableError):
    """Too many requests are under way."""

    code = "overloaded"


class DecoderUnavailable(UnavailableError):
    """There is no ffmpeg to run: install ffmpeg or imageio-ffmpeg, or name one in SONICA_FFMPEG_PATH."""

    code = "decoder_unavailable"


class NotReady(UnavailableError):
    """A part of the service that recognitions need is missing."""

    code = "not_ready"


class StateError(SonicaError):
    """What is stored does not fit this program."""


class IndexVersionMismatch(StateError):
    """The stored index or catalogue holds another fingerprint version."""

    code = "index_version_mismatch"


class BundleRefused(StateError):
    """The bundle is damaged, not signed by whom it should be, or older than the one in place."""

    code = "bundle_refused"


class SchemaVersionMismatch(StateError):
    """The database's schema is not the one that this program needs."""

    code = "schema_version_mismatch"
