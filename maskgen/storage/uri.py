"""What is a URI, and how one is shown without its credentials."""

from __future__ import annotations

import re

_URI = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
HALF_URI = re.compile(r"(s3|gs|gcs|file):/", re.IGNORECASE)
_SECRET = re.compile(
    r"(?<=[?&])([^=&#]*(?:key|secret|token|password|credential|signature)[^=&#]*)=[^&#]*", re.IGNORECASE
)


def is_uri(text: str) -> bool:
    """Whether a text is a URI such as s3://bucket/smfd, and not a path."""
    return bool(_URI.match(text))


def redacted(text: str) -> str:
    """A path, or a URI without the credentials in it: what may stand in a file, a sentence or a log."""
    if not is_uri(text):
        return text
    scheme, rest = text.split("://", 1)
    place, mark, query = rest.partition("?")
    host = place.partition("/")[0]
    if "@" in place and ("@" in host or ":" in host):  # a secret that was not percent-encoded may hold a slash
        place = f"***@{place.rpartition('@')[2] if '@' not in host else host.rpartition('@')[2] + place[len(host) :]}"
    return f"{scheme}://{place}{mark}" + _SECRET.sub(r"\1=***", f"?{query}")[1:]


def plain(uri: str) -> str:
    """A path, or a URI for sentences and records: no credentials, no options, and a name can be set behind it."""
    if not is_uri(uri):
        return uri
    return redacted(uri).partition("?")[0].replace("***@", "", 1).rstrip("/")


def parent(place: str) -> tuple[str, str]:
    """The folder of a file that a path or a URI names, and the file's name in it; options of a URI stay."""
    path, mark, options = place.partition("?") if is_uri(place) else (place, "", "")
    folder, slash, name = path.rpartition("/")
    return (folder or slash or ".") + mark + options, name
