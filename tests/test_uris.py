"""Places as text: what is a URI, joining, and what of it may be shown."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from retrain_tools.uris import is_uri, join, shown


@pytest.mark.parametrize(
    "place",
    [
        "s3://b",
        "gs://b/a.jpg",
        "file:///tmp",
        "memory://",
        "S3A://b",
        "abfs://c@a.net/x",
        "a+b://c",
    ],
)
def test_a_uri_begins_with_a_scheme(place):
    assert is_uri(place)


@pytest.mark.parametrize(
    "place",
    ["", "a.jpg", "/tmp/a", "s3:/b", "./s3://b", "s3:", "C:/x", "c://x", "a b://c", "é://x"],
)
def test_what_looks_like_one_may_be_a_local_path(place):
    assert not is_uri(place)


@pytest.mark.parametrize(
    ("folder", "name", "place"),
    [
        ("s3://b", "a.jpg", "s3://b/a.jpg"),
        ("s3://b/", "a.jpg", "s3://b/a.jpg"),
        ("memory://", "a", "memory://a"),
        ("file:///", "a", "file:///a"),
        ("photos", "ä b%20.jpg", "photos/ä b%20.jpg"),
        ("/", "a", "/a"),
        ("", "a", "a"),
    ],
)
def test_names_are_joined_as_they_are(folder, name, place):
    assert join(folder, name) == place


@pytest.mark.parametrize(
    ("place", "safe"),
    [
        ("ftp://me:pw@host/a", "ftp://***@host/a"),
        ("https://token@host/a", "https://***@host/a"),
        ("s3://KEY:SECRET/x@bucket/a", "s3://KEY:SECRET/x@bucket/a"),  # no authority: a key of S3
        ("https://u:p@h/a?X-Amz-Signature=12", "https://***@h/a?***"),
        ("https://host/a?size=3", "https://host/a?***"),
        ("abfs://container@account.net/a", "abfs://container@account.net/a"),
        ("abfs://c@account.net/a?se=1&sig=abc", "abfs://c@account.net/a?***"),
        ("s3://b/what?.jpg", "s3://b/what?.jpg"),
        ("s3://b/a?versionId=12", "s3://b/a?versionId=12"),
        ("s3://b/a@b:c.jpg", "s3://b/a@b:c.jpg"),
        ("local?password=1", "local?password=1"),
    ],
)
def test_no_credentials_are_shown(place, safe):
    assert shown(place) == safe


SECRETS = st.text(st.sampled_from("aZ3:@%+=&*~ é"), min_size=1)


@given(
    scheme=st.sampled_from(["http", "https", "ftp", "sftp", "webdav+x"]),
    user=st.text(st.sampled_from("ab%")),
    password=SECRETS,
    signature=SECRETS,
)
def test_no_password_and_no_signature_is_ever_shown(scheme, user, password, signature):
    marked, signed = f"PASS{password}WORD", f"SIGNA{signature}TURE"
    uri = f"{scheme}://{user}:{marked}@host/folder/a@b.jpg?x=1&sig={signed}"
    safe = shown(uri)
    assert marked not in safe
    assert "SIGNA" not in safe
    assert safe.startswith(f"{scheme}://***@host/folder/a@b.jpg?")
    assert shown(safe) == safe
