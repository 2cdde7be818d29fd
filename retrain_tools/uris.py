"""Local paths and URIs as text: which is which, joining names to them, showing them safely."""

from __future__ import annotations

import re

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_AUTHORITY = re.compile(r"(?P<scheme>[^:]+://)(?P<who>[^/?#]*)@")
_SECRET_NAMES = re.compile(r"[?&][^=&]*(sig|tok|key|secret|pass|cred|auth)[^=&]*=", re.IGNORECASE)
_WEB = ("http", "https")
HIDDEN = "***"


def is_uri(place: str) -> bool:
    """Whether a place is a URI (`s3://…`, `file://…`, `memory://…`); else it is a local path.

    A folder that is called `s3:` is a local one as `s3:/x` or `./s3://x`.
    """
    return _URI.match(place) is not None


def scheme_of(uri: str) -> str:
    """Return the scheme of a URI in lower case, as `s3`."""
    return uri.partition("://")[0].lower()


def join(folder: str, name: str) -> str:
    """Return the place of a name below a folder, a local path or a URI.

    Example:
        >>> join("s3://bucket/photos", "a b.jpg"), join("photos/", "1.jpg"), join("", "1.jpg")
        ('s3://bucket/photos/a b.jpg', 'photos/1.jpg', '1.jpg')
    """
    return f"{folder}{name}" if not folder or folder.endswith("/") else f"{folder}/{name}"


def shown(place: str) -> str:
    """Return a place as messages, logs and records may have it: no password, key or signature.

    Of a URI, user and password are hidden (not the container of `abfs://container@account…`),
    what follows the `?` of a web address, and of another URI where that names a key or the like.

    Example:
        >>> shown("ftp://me:secret@host/a.jpg"), shown("https://host/a.jpg?sig=4f2")
        ('ftp://***@host/a.jpg', 'https://host/a.jpg?***')
    """
    if not is_uri(place):
        return place
    is_web = scheme_of(place) in _WEB
    found = _AUTHORITY.match(place)
    if found and (is_web or ":" in found["who"]):
        place = f"{found['scheme']}{HIDDEN}@{place[found.end() :]}"
    path, mark, query = place.partition("?")
    if mark and (is_web or _SECRET_NAMES.search(mark + query)):
        return f"{path}?{HIDDEN}"
    return place
