"""Every error of the fingerprint package.

FingerprintError
├── MalformedFingerprint    the bytes are not a fingerprint
├── UnsupportedVersion      the fingerprint is of a version that this package does not read
└── KernelError             the kernel was used wrongly or is missing
"""


class FingerprintError(ValueError):
    """Something is wrong with a fingerprint."""


class MalformedFingerprint(FingerprintError):
    """The bytes are not a fingerprint."""


class UnsupportedVersion(FingerprintError):
    """The fingerprint is of a version that this package does not read."""


class KernelError(FingerprintError):
    """The kernel was used wrongly or is missing."""
