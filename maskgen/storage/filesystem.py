"""From a path or a URI to `pyarrow.fs`, with the patience of its client and what to say of its errors."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache

import pyarrow as pa
import pyarrow.fs

from ..errors import MaskgenError, UsageError, short
from .uri import is_uri, plain, redacted

ATTEMPTS = 6
"""How often a request to a store is tried, with random pauses that grow: up to 30 s where nobody answers the door."""

TIMEOUT = 10.0
"""Seconds of silence, or until a connection stands, after which an attempt is given up."""


@lru_cache(maxsize=64)
def filesystem_of(text: str) -> tuple[pa.fs.FileSystem, str]:
    """The file system of a path or a URI, and the place in it: the one way from a text to `pyarrow.fs`.

    Requests to S3 and GCS are repeated with growing pauses where they fail for a passing reason. Raises `UsageError`
    for a URI that cannot be understood, `MaskgenError` where its store refuses or does not answer.
    """
    if not is_uri(text):
        return pa.fs.LocalFileSystem(), text
    try:
        filesystem, root = pa.fs.FileSystem.from_uri(text)
    except (pa.ArrowException, ValueError, OSError) as error:
        if told := refusal(text, error):
            raise told from None
        said = _short(str(error).replace(text, redacted(text)))
        raise UsageError(
            f"cannot open {redacted(text)}: {said}; give a folder or a URI such as s3://bucket/smfd."
        ) from None
    # A URI cannot say how patient to be, so the file system is made again with what it would be pickled by.
    if isinstance(filesystem, pa.fs.S3FileSystem):
        options = filesystem.__reduce__()[1][0]
        strategy = pa.fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS)
        options |= {"retry_strategy": strategy, "request_timeout": TIMEOUT, "connect_timeout": TIMEOUT}
        filesystem = pa.fs.S3FileSystem(**options | {"allow_delayed_open": True})  # a small file is one PUT
    elif filesystem.type_name == "gcs":
        options = filesystem.__reduce__()[1][0]
        if options["retry_time_limit"] is None:
            filesystem = pa.fs.GcsFileSystem(**options | {"retry_time_limit": timedelta(seconds=60)})
    return filesystem, root.rstrip("/") or "/"


_STORE = re.compile(r"AWS Error|google::cloud::Status|Azure Error|HTTP status", re.IGNORECASE)
_MISSING = re.compile(r"NO_SUCH_KEY|NoSuchKey")
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket|bucket does not exist", re.IGNORECASE)
_FORBIDDEN = re.compile(
    r"ACCESS_DENIED|AccessDenied|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN|EXPIRED_TOKEN|"
    r"ExpiredToken|PERMISSION_DENIED|UNAUTHENTICATED|status:? 40[13]",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"status:? 301|PermanentRedirect|AuthorizationHeaderMalformed", re.IGNORECASE)
FINAL = re.compile(
    "|".join(known.pattern for known in (_NO_BUCKET, _FORBIDDEN, _ELSEWHERE)) + "|NETWORK_CONNECTION", re.IGNORECASE
)
"""Errors that another try does not mend: the client has tried often, or the store means it."""


def refusal(uri: str, error: BaseException) -> MaskgenError | None:
    """What to say where a store refuses or does not answer; None where the error is not a store's."""
    said = str(error)
    if not _STORE.search(said) or _MISSING.search(said):
        return None
    place = plain(uri)
    if _NO_BUCKET.search(said):
        return UsageError(f"there is no bucket of {place}; make it first or mend the name.")
    if _FORBIDDEN.search(said):
        return MaskgenError(
            f"{place} is refused ({_reason(said)}); give credentials that may list, read and write there and run the "
            "same command again."
        )
    if _ELSEWHERE.search(said):
        return UsageError(f"the bucket of {place} lies in another region; add ?region=NAME to the URI.")
    return silence(uri, error)


def silence(uri: str, error: BaseException) -> MaskgenError:
    """What to say where a store does not answer."""
    return MaskgenError(
        f"the store of {plain(uri)} does not answer ({_reason(str(error))}); run the same command again: it goes on "
        "from here."
    )


def _reason(said: str) -> str:
    """The part of a store's message that tells: without the request it was and without numbers that change."""
    found = re.search(r"(?:AWS Error|Azure Error|google::cloud::Status)\W*(.*)", said, re.DOTALL)
    return _short(re.sub(r"\s*\(Request ID.*?\)|;? ?Details:.*", "", found[1] if found else said, flags=re.DOTALL))


def _short(said: str) -> str:
    return short(said).rstrip(" .")
