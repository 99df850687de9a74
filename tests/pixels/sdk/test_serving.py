"""muster.js on its way to the browser: its size, and what both doors say with it."""

import gzip

import pytest

from pixels import sdk
from tests.pixels.shop import counted

PATHS = ["/muster.js", "/muster-1.js"]
PACKED = "gzip, deflate, br, zstd"


@pytest.mark.spec("pixels.md 4.1")
def test_sdk_size():
    assert len(gzip.compress(sdk.SCRIPT, 9)) <= 5120


def test_comments_stay_in_the_source():
    assert "// --- Consent" in sdk.SOURCE.read_text()
    assert b"// " not in sdk.SCRIPT
    assert sdk.SCRIPT.count(b"/*") == 1


@pytest.mark.spec("pixels.md 4.1")
def test_nothing_in_it_evaluates_a_text():
    source = sdk.SOURCE.read_text()
    assert not [word for word in ("eval(", "Function(", "innerHTML", "document.write", "import(") if word in source]


@pytest.mark.spec("pixels.md 4.1")
@pytest.mark.parametrize("path", PATHS)
def test_a_browser_gets_it_and_may_keep_it_for_an_hour(door, path):
    reply = door.get(path)
    assert (reply.status, reply.body) == (200, sdk.SCRIPT)
    assert reply.header("content-type") == "text/javascript; charset=utf-8"
    assert reply.header("cache-control") == "public, max-age=3600"
    assert reply.header("cross-origin-resource-policy") == "cross-origin"
    assert reply.header("x-content-type-options") == "nosniff"
    assert reply.header("vary") == "Accept-Encoding"
    assert reply.header("set-cookie") is None
    assert reply.header("content-encoding") is None
    assert counted() == 0, "it is no fire"


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        (PACKED, True),
        ("br, GZIP;q=0.5", True),
        ("gzip; q=0", False),
        ("gzip;q=0.0", False),
        ("br", False),
        ("xgzip", False),
    ],
)
def test_it_comes_packed_to_who_takes_that(door, accepted, is_packed):
    reply = door.get("/muster.js", accept_encoding=accepted)
    assert reply.header("content-encoding") == ("gzip" if is_packed else None)
    assert (gzip.decompress(reply.body) if is_packed else reply.body) == sdk.SCRIPT
    assert len(reply.body) <= 5120 or not is_packed


@pytest.mark.spec("pixels.md 4.1")
@pytest.mark.parametrize("accepted", ["identity", PACKED])
def test_who_has_it_gets_nothing_but_leave_to_keep_it(door, accepted):
    etag = door.get("/muster.js", accept_encoding=accepted).header("etag")
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        reply = door.get("/muster.js", accept_encoding=accepted, if_none_match=known)
        assert (reply.status, reply.body) == (304, b"")
        assert reply.header("etag") == etag
        assert reply.header("cache-control") == "public, max-age=3600"
    for other in ('"other"', "", etag.strip('"')):
        assert door.get("/muster.js", accept_encoding=accepted, if_none_match=other).status == 200


def test_the_two_forms_have_names_of_their_own(door):
    packed = door.get("/muster.js", accept_encoding=PACKED).header("etag")
    assert door.get("/muster.js", if_none_match=packed).status == 200


@pytest.mark.parametrize("path", PATHS)
def test_head_and_other_methods(door, path):
    reply = door.get(path, method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.header("etag")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        reply = door.get(path, method=method)
        assert (reply.status, reply.header("allow")) == (405, "GET, HEAD")
        assert reply.header("cache-control") == "no-store, private", "a refusal is not kept anywhere"


@pytest.mark.parametrize("path", ["/muster-2.js", "/muster.js/", "/Muster.js", "/muster"])
def test_nothing_else_is_it(door, path):
    reply = door.get(path)
    assert reply.status == 404
    assert "public" not in (reply.header("cache-control") or "")
