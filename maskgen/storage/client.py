"""From a URI to a client of its object store (obstore), with one patience, and one sentence for each of its errors."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from ..errors import MaskgenError, UsageError, short
from .uri import plain, redacted

if TYPE_CHECKING:
    from obstore.exceptions import BaseError

T = TypeVar("T")

RETRIES = 5
"""How often the client repeats a request that failed for a passing reason, with random pauses that grow."""

TIMEOUT = 10.0
"""Seconds of silence, or until a connection stands, after which a request has failed."""

SCHEMES = {"s3": "s3", "gs": "gs", "gcs": "gs"}
OPTIONS = {"s3": ("region", "scheme", "endpoint_override", "session_token"), "gs": ("scheme", "endpoint_override")}
"""What may follow the ? of a URI."""


@dataclass(frozen=True)
class Location:
    """The parts of a URI of an object store: `prefix` is the place in the bucket, without slashes at its ends."""

    scheme: str
    bucket: str
    prefix: str
    user: str
    secret: str
    options: dict[str, str]


def parse(uri: str) -> Location:
    """The parts of a URI such as s3://KEY:SECRET@bucket/smfd?region=eu-west-1. Raises `UsageError` if it has none."""
    what = "give a folder or a URI such as s3://bucket/smfd"
    try:
        parts = urlsplit(uri)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        raise UsageError(f"cannot open {redacted(uri)}: it is not a URI; {what}.") from None
    scheme = SCHEMES.get(parts.scheme.lower())
    login, _, bucket = parts.netloc.rpartition("@")
    user, _, secret = login.partition(":")
    if scheme is None:
        raise UsageError(f"cannot open {redacted(uri)}: there is no store for {parts.scheme}://; {what}.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", bucket):
        raise UsageError(
            f"cannot open {redacted(uri)}: it names no bucket; {what} and percent-encode slashes in the key."
        )
    if user and not secret and user != "anonymous":
        raise UsageError(f"cannot open {redacted(uri)}: it has half of a key pair; {what}.")
    for name in options:
        if name not in OPTIONS[scheme]:
            raise UsageError(
                f"cannot open {redacted(uri)}: there is no option {name!r}, only {', '.join(OPTIONS[scheme])}; {what}."
            )
    prefix = unquote(parts.path).strip("/")
    return Location(scheme, bucket, prefix, unquote(user), unquote(secret), options)


@lru_cache(maxsize=64)
def client_of(uri: str) -> Any:
    """The client of a URI's bucket. Raises `UsageError` for a URI or a configuration that cannot be understood."""
    import obstore.store  # here, so that nothing local loads it
    from obstore.exceptions import BaseError

    place = parse(uri)
    http = place.options.get("scheme") == "http"
    seconds = timedelta(seconds=TIMEOUT)
    given: dict[str, Any] = {
        # The whole of a large answer may take its time, silence may not.
        "client_options": {
            "allow_http": http,
            "connect_timeout": seconds,
            "read_timeout": seconds,
            "timeout": timedelta(minutes=30),
        },
        "retry_config": {
            "max_retries": RETRIES,
            "retry_timeout": timedelta(minutes=3),
            "backoff": {
                "base": 2,
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=15),
            },
        },
    }
    endpoint = place.options.get("endpoint_override")
    if endpoint and "://" not in endpoint:
        endpoint = f"{'http' if http else 'https'}://{endpoint}"
    if place.user == "anonymous":
        given["skip_signature"] = True
    try:
        if place.scheme == "gs":
            config = {"base_url": endpoint} if endpoint else {}
            return obstore.store.GCSStore(place.bucket, config=config, **given)  # type: ignore[arg-type]
        return obstore.store.S3Store(place.bucket, **given, **_s3(place, endpoint))
    except (BaseError, ValueError) as error:
        raise UsageError(f"cannot open {redacted(uri)}: {_reason(str(error))}; fix the URI.") from None


def _s3(place: Location, endpoint: str | None) -> dict[str, Any]:
    """Address and credentials of an S3 bucket: those of the URI, else of the environment, else what boto3 finds."""
    given: dict[str, Any] = {"region": _region(place, endpoint), "virtual_hosted_style_request": False}
    if endpoint:
        given["endpoint"] = endpoint
    if place.secret:
        given |= {"access_key_id": place.user, "secret_access_key": place.secret}
        if "session_token" in place.options:
            given["session_token"] = place.options["session_token"]
    elif place.user != "anonymous" and "AWS_ACCESS_KEY_ID" not in os.environ and importlib.util.find_spec("boto3"):
        import boto3  # profiles and single sign-on, which the client alone does not read
        from obstore.auth.boto3 import Boto3CredentialProvider

        if (session := boto3.Session()).get_credentials():
            given["credential_provider"] = Boto3CredentialProvider(session)
    return given


def _region(place: Location, endpoint: str | None) -> str:
    found = place.options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not found and not endpoint:
        from pyarrow import fs

        try:
            return str(fs.resolve_s3_region(place.bucket))
        except OSError:  # the first request says what is wrong
            return "us-east-1"
    return found or "us-east-1"


def ask(uri: str, question: Callable[[Any], T]) -> T:
    """Puts a question to the client of a store, and again if its answer broke off in the middle.

    The client repeats requests by itself, but not those whose answer broke off in its body. Raises
    `FileNotFoundError` if there is no such object, `UsageError` if there is no such bucket or it lies elsewhere,
    `MaskgenError` if the store refuses or does not answer.
    """
    from obstore.exceptions import BaseError

    for again in range(RETRIES, -1, -1):
        try:
            return question(client_of(uri))
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise _sentence(uri, str(error)) from None
            if again and "NoSuchUpload" in str(error):  # it was put together, and the answer that said so was lost
                continue
            raise FileNotFoundError(f"an object in {plain(uri)} is missing") from None
        except BaseError as error:
            if not again or _is_final(error):
                raise _sentence(uri, str(error)) from None
    raise AssertionError


def _is_final(error: BaseError) -> bool:
    """Whether another try is of no use: the client has tried often, or the store gave an answer."""
    passing = type(error).__name__ == "GenericError" and "Server returned" not in str(error)
    return not passing or bool(re.search(r"after [1-9]\d* retries|redirect", str(error)))


def _sentence(uri: str, said: str) -> MaskgenError:
    place = plain(uri)
    if "NoSuchBucket" in said:
        return UsageError(f"there is no bucket of {place}; create it first or fix the name.")
    if re.search(r"status code: 40[13]", said):
        return MaskgenError(
            f"{place} is refused ({_reason(said)}); give credentials that may use it and run the same command again."
        )
    if re.search(r"status code: 301|redirect|AuthorizationHeaderMalformed", said):
        return UsageError(f"the bucket of {place} lies in another region; add ?region=NAME to the URI.")
    if "invalid path" in said:
        return MaskgenError(f"{place} holds an object whose name is not a path ({_reason(said)}); rename it.")
    if "Precondition" in said:
        return MaskgenError(f"an object in {place} was replaced while it was read; run the same command again.")
    return MaskgenError(
        f"the store of {place} does not answer ({_reason(said)}); run the same command again: it resumes from here."
    )


_CAUSES = {"ConnectionRefused": "connection refused", "TimedOut": "timed out", "dns error": "unknown host"}


def _reason(said: str) -> str:
    """The part of an error that tells: the store's own code, or what failed, without the request it was."""
    code, message = (re.search(rf"<{tag}>([^<]*)</{tag}>", said) for tag in ("Code", "Message"))
    if code:
        return short(f"{code[1]}: {message[1]}" if message else code[1]).rstrip(" .:")
    head = said.partition("\n\nDebug source")[0]
    told = head.rpartition(" - ")[2].removeprefix("Server returned non-2xx status code: ")
    causes = [words for name, words in _CAUSES.items() if name in said]
    return short(", ".join([told.strip(), *causes])).rstrip(" .:")
