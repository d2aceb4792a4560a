"""Every error of the fingerprint package.

FingerprintError
├── MalformedFingerprint    the bytes are not a fingerprint
├── MalformedBundle         the bytes are not a bundle of the hot index, or not all of it
├── UnsupportedVersion      the fingerprint or bundle is of a version that this package does not read
├── UnreadableAudio         the bytes are no audio that this package reads
└── KernelError             the kernel was used wrongly or is missing
"""


class FingerprintError(ValueError):
    """Something is wrong with a fingerprint."""


class MalformedFingerprint(FingerprintError):
    """The bytes are not a fingerprint."""


class MalformedBundle(FingerprintError):
    """The bytes are not a bundle of the hot index, or not all of it."""


class UnsupportedVersion(FingerprintError):
    """The fingerprint or bundle is of a version that this package does not read."""


class UnreadableAudio(FingerprintError):
    """The bytes are no audio that this package reads."""


class KernelError(FingerprintError):
    """The kernel was used wrongly or is missing."""
