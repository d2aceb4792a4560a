"""The Sonica audio fingerprint: samples in, a compact fingerprint out, the same on every host."""

from sonica_fingerprint.codec import CONTENT_TYPE, decode, encode
from sonica_fingerprint.errors import FingerprintError, KernelError, MalformedFingerprint, UnsupportedVersion
from sonica_fingerprint.extractor import OTHER_SPEEDS, Extractor, extract
from sonica_fingerprint.fingerprint import (
    DIMENSIONS,
    EDGE_STEPS,
    EMBEDDING_SCALE,
    FINGERPRINT_VERSION,
    SAMPLE_RATE_HZ,
    SEGMENT_MS,
    SILENCE_DB,
    SPEED_CHANGE_MAX,
    STEP_MS,
    Fingerprint,
)

__all__ = [
    "CONTENT_TYPE",
    "DIMENSIONS",
    "EDGE_STEPS",
    "EMBEDDING_SCALE",
    "FINGERPRINT_VERSION",
    "OTHER_SPEEDS",
    "SAMPLE_RATE_HZ",
    "SEGMENT_MS",
    "SILENCE_DB",
    "SPEED_CHANGE_MAX",
    "STEP_MS",
    "Extractor",
    "Fingerprint",
    "FingerprintError",
    "KernelError",
    "MalformedFingerprint",
    "UnsupportedVersion",
    "decode",
    "encode",
    "extract",
]
