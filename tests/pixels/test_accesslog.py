"""A line of the proxy's log becomes the fire that the door had, or it is said why not."""

import gzip
import json
from contextlib import ExitStack
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from audience.instants import HOUR, instant, moment
from audience.tenancy import acting_for
from pixels import accesslog, answers, cookie, fireids
from pixels.accesslog import LogFile, Reader, Skipped, UnreadableLog
from pixels.catalogue import Catalogue
from pixels.facts import Fire
from pixels.intake import database_conninfo
from pixels.management.commands.replay_access_log import endpoint_of
from pixels.models import Fire as FireRow
from pixels.reasons import Note, Reason
from tests.factories import NOON
from tests.nginx import Nginx
from tests.pixels.doors import listener_door
from tests.pixels.pictures import ENDPOINT, KEY, SHOP, SIGNER
from tests.pixels.shop import Shop

pytestmark = pytest.mark.spec("R3")

PROXIED = {"MUSTER_TRUSTED_PROXIES": "127.0.0.1/32"}
RANDOM = "7f3a9c2e51d04b6f8a1be2c3d4f50617"
AT = instant(NOON)
READER = Reader(ENDPOINT, clock=lambda: AT + HOUR)
LINE = {
    "request": f"{NOON.timestamp():.3f}-{RANDOM}",
    "fire": "",
    "time": "2026-11-22T12:00:00+00:00",
    "method": "GET",
    "target": f"/p/{KEY}.gif?value=65",
    "status": "503",
    "cookie": "",
    "new_cookie": "",
    "gpc": "",
    "opt_out": "",
    "page": "https://shop.example/cart",
    "origin": "",
    "agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "purpose": "",
    "replay": "",
    "host": "px.example.com",
    "network": "203.0.113.0",
}


def line(*without: str, **fields: object) -> bytes:
    told = {name: value for name, value in (LINE | fields).items() if name not in without}
    return json.dumps(told).encode() + b"\n"


def fire(*without: str, **fields: object) -> Fire:
    found = READER.fire_of(line(*without, **fields))
    assert isinstance(found, Fire), found
    return found


def new_cookie(at: int = AT) -> tuple[str, str]:
    """Return a browser's cookie, and its id as the shop knows it."""
    browser = SIGNER.mint(at // (24 * HOUR) + 10957)
    return f"__Host-muid={SIGNER.sign(browser)}", cookie.stored_id(SHOP.id_key, browser.random)


# --- One line ---------------------------------------------------------------------------------------


def test_a_fire_that_was_refused_has_the_id_and_the_time_of_its_request():
    found = fire()
    assert found.id == fireids.of_request(LINE["request"])
    assert found.received_at == fireids.time_of(found.id)
    assert moment(found.received_at) - NOON < timedelta(milliseconds=1)
    assert (found.advertiser_id, found.pixel_id, found.reason) == (10, 21, None)
    assert (found.changes[0].segment_id, found.changes[0].value) == (12, 65)
    assert (found.page_host, found.page_path) == ("shop.example", "/cart")
    assert (found.browser_name, found.device) == ("Firefox", "desktop")
    assert Note.LATE in found.notes


def test_the_answers_own_id_counts_where_there_was_one():
    given_id = fireids.new(AT + 5_250)
    found = fire(fire=answers.crockford(given_id), status="200")
    assert (found.id, found.received_at) == (given_id, AT + 5_250)


def test_the_browser_is_the_one_that_the_answer_named_else_the_one_that_came():
    (received, its_id), (minted, new_id) = new_cookie(), new_cookie()
    assert fire(cookie=received).browser.value == its_id
    assert fire(new_cookie=minted).browser.value == new_id
    assert fire(cookie=received, new_cookie=minted).browser.value == new_id


def test_a_browser_that_keeps_no_cookie_stays_a_new_one():
    minted, its_id = new_cookie()
    back = fire(target=f"/p/{KEY}.gif?value=65&mb=1", new_cookie=minted)
    assert back.browser.value != its_id


@pytest.mark.parametrize("missing", [["gpc"], ["opt_out"], ["gpc", "opt_out"]])
def test_a_line_without_its_consent_fields_leaves_nothing_but_a_count(missing):
    found = fire(*missing, cookie=new_cookie()[0])
    bare = Fire(found.id, found.received_at, 10, 21, None, reason=Reason.NO_SIGNAL)
    assert found == bare
    stranger = fire(*missing, target="/p/0000000000000000.gif?pg=/private")
    assert stranger == Fire(stranger.id, stranger.received_at, None, None, None, reason=Reason.UNKNOWN_PIXEL)


def test_consent_reaches_the_door_as_the_visitor_said_it():
    logged = accesslog.read(line(gpc="1", opt_out="1", cookie="__Host-muid=x"))
    assert logged.request.headers.get("sec-gpc") == "1"
    assert logged.request.headers.get("cookie") == "__Host-muid=x; __Host-mopt=1"


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "404", "target": "/favicon.ico"},
        {"status": "405", "method": "POST"},
        {"status": "414"},
        {"status": "400", "request": ""},
        {"status": "200", "method": "HEAD"},
        {"status": "302", "new_cookie": "__Host-muid=x"},
        {"status": "502", "target": "/favicon.ico"},
        {"status": "200", "target": "/health/ready"},
        {"status": "503", "target": "/seg?" + "a" * 16_384},
    ],
    ids=str,
)
def test_lines_that_are_no_fires_are_passed_over(fields):
    assert READER.fire_of(line(**fields)) is Skipped.NO_FIRE


@pytest.mark.parametrize("status", ["499", "500", "502", "503", "504", "000"])
def test_a_fire_without_an_answer_of_muster_is_one(status):
    assert fire(status=status).changes


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"null\n",
        b"[]\n",
        b'{"request":\n',
        line()[:-20],
        b"[" * 100_000,
        b"9" * 10_000,
        line("target"),
        line("request"),
        line("status"),
        line(gpc=1),
        line(status="ok"),
        line(request="0"),
        line(fire="01JD"),
        line(fire="8" + "0" * 25),
        line(fire="01JDUUUUUUUUUUUUUUUUUUUUUU"),
    ],
    ids=lambda text: repr(text[:40]),
)
def test_malformed_lines_are_counted_as_such(text):
    assert READER.fire_of(text) is Skipped.MALFORMED


def request_at(at: datetime) -> str:
    return f"{at.timestamp():.3f}-{RANDOM}"


def test_what_is_older_than_the_memory_of_fires_or_ahead_of_the_clock_is_refused():
    now = moment(AT + HOUR)
    young, old = now - timedelta(days=30), now - timedelta(days=30, milliseconds=1)
    assert isinstance(fire(request=request_at(young)), Fire)
    assert READER.fire_of(line(request=request_at(old))) is Skipped.TOO_OLD
    assert READER.fire_of(line(request=request_at(now + timedelta(minutes=2)))) is Skipped.AHEAD
    assert READER.fire_of(line(request=f"99999999999.999-{RANDOM}")) is Skipped.AHEAD
    assert READER.fire_of(line("gpc", request=request_at(old))) is Skipped.TOO_OLD


texts = st.text(st.characters(codec=None, exclude_categories=[]), max_size=30)
values = texts | st.sampled_from([*LINE.values(), "1", "200", "499", f"/seg?add=12&other={'x' * 70}"]) | st.none()
lines = (
    st.binary()
    | texts.map(lambda text: text.encode(errors="surrogatepass"))
    | st.dictionaries(st.sampled_from(sorted(LINE)), values).map(lambda fields: line(**fields))
    | st.binary().map(lambda some: line().replace(b"value=65", some))
)


@settings(max_examples=1000, deadline=None)
@given(lines)
def test_no_line_whatsoever_raises(text):
    found = READER.fire_of(text)
    assert isinstance(found, Fire | Skipped)
    if isinstance(found, Fire):
        stored = found.other + found.page_host + found.page_path + found.browser_name + found.actions
        assert "\0" not in stored
        stored.encode()


# --- Files ------------------------------------------------------------------------------------------


def test_a_log_may_be_packed_and_its_last_line_torn(tmp_path):
    plain, packed = tmp_path / "fires.log", tmp_path / "fires.log.2"
    plain.write_bytes(b"one\ntwo\nthr")
    packed.write_bytes(gzip.compress(b"one\ntwo\nthr"))
    for path in (plain, packed):
        log = LogFile(str(path))
        assert list(log.lines()) == [b"one\n", b"two\n", b"thr"]
        assert log.bytes_read == path.stat().st_size


def test_a_line_that_never_ends_is_one_bad_line(tmp_path):
    path = tmp_path / "fires.log"
    path.write_bytes(b"{" * (3 * accesslog.LONGEST_LINE) + b"\ntwo\n")
    first, second = LogFile(str(path)).lines()
    assert (len(first), second) == (accesslog.LONGEST_LINE, b"two\n")


def test_what_cannot_be_read_is_said_after_what_can(tmp_path):
    torn = tmp_path / "fires.log.gz"
    packed = gzip.compress(b"".join(b"line %d\n" % number for number in range(100_000)), compresslevel=1)
    torn.write_bytes(packed[: len(packed) // 2])
    read = []
    with pytest.raises(UnreadableLog, match=r"fires\.log\.gz cannot be read: "):
        read.extend(LogFile(str(torn)).lines())
    with pytest.raises(UnreadableLog, match="No such file"):
        list(LogFile(str(tmp_path / "missing")).lines())


# --- What nginx writes ------------------------------------------------------------------------------


def test_nginx_accepts_the_file_that_we_ship(tmp_path):
    nginx = Nginx(tmp_path, door_port=8001, is_plain=False)
    checked = nginx.check()
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr or "http2" in checked.stderr
    assert "emerg" not in checked.stderr


@pytest.fixture(scope="module")
def proxied(tmp_path_factory, open_database):
    """Yield nginx and the door behind it."""
    with ExitStack() as running:
        door = running.enter_context(listener_door(**PROXIED))
        yield running.enter_context(Nginx(tmp_path_factory.mktemp("proxied"), door_port=door.port)), door


def test_what_is_logged_is_what_the_door_had(proxied):
    nginx, door = proxied
    shop = Shop(door)
    shop_page = "https://user:password@shop.example:8443/a/cart?token=secret#top"
    sent = {"Referer": shop_page, "Host": "PX.example.com:443", "Sec-GPC": "1", "X-Request-Id": "mine"}
    answer, line = nginx.fire(f"/seg?add={shop.cart.pk}:65", **sent)
    told = json.loads(line)
    assert told["fire"] == answer.headers["Muster-Fire"]
    assert fireids.of_request(told["request"]) == answers.read_crockford(told["fire"]), "the client's own is nothing"
    assert told["new_cookie"] == answer.headers["Set-Cookie"].partition(";")[0]
    assert told["page"] == "https://shop.example:8443/a/cart"
    assert (told["gpc"], told["opt_out"], told["cookie"], told["status"]) == ("1", "", "", "200")
    assert (told["network"], told["host"]) == ("127.0.0.0", "px.example.com")
    logged = accesslog.read(line)
    assert logged.fire_id == shop.fire().id.bytes
    assert instant(shop.fire().received_at) == fireids.time_of(logged.fire_id)


@pytest.mark.parametrize(
    ("sent", "cookie_logged", "opt_out"),
    [
        ("__Host-muid=1.k1.ab-_", "__Host-muid=1.k1.ab-_", ""),
        ("_ga=GA1.1; __Host-muid=1.k1.ab; x=y", "__Host-muid=1.k1.ab", ""),
        ("muid=1.a; __Host-muid=1.b", "__Host-muid=1.b", ""),
        ("muid=1.a", "muid=1.a", ""),
        ("xmuid=1.a; x__Host-muid=1.b; __Host-muid=a b", "", ""),
        ("__Host-mopt=1", "", "1"),
        ("a=b; __Host-moptp=1; c=d", "", "1"),
        ("__Host-mopt=10; x__Host-mopt=1", "", ""),
    ],
)
def test_our_cookies_are_logged_and_no_other(proxied, sent, cookie_logged, opt_out):
    nginx, _ = proxied
    _, line = nginx.fire("/seg?add=1", Cookie=sent)
    told = json.loads(line)
    assert (told["cookie"], told["opt_out"]) == (cookie_logged, opt_out)


@pytest.mark.parametrize(
    "target",
    [
        "/%73eg?add={cart}",
        "/seg?add={cart}%3A65&other=%C3%A9%22%5C",
        "/seg?add={cart}&other=\"\\'<>|^`{}",
        "/seg?add={cart}&other='*~!$()[]",
        "/seg?add={cart}&&=&pg=/a%20b",
        "/p/{key}.js",
        "/p/%37.gif",
        "//seg?add={cart}",
        "/./seg?add={cart}",
        "/seg;a?add={cart}",
        "/seg?add=no",
    ],
)
def test_the_line_of_a_fire_makes_the_fire_again(proxied, target):
    """Whatever the target, the door and the reader make the same of it."""
    nginx, door = proxied
    shop = Shop(door)
    target = target.replace("{cart}", str(shop.cart.pk)).replace("{key}", shop.pixel.public_key)
    answer, line = nginx.fire(target)
    found = reader_of_installation().fire_of(line)
    if answer.status in (400, 404):
        assert found is Skipped.NO_FIRE
        return
    assert isinstance(found, Fire), found
    with acting_for(shop.id):
        row = FireRow.objects.filter(id=UUID(bytes=found.id)).first()
    assert (row is None) == (found.pixel_id is None)
    if row is not None:
        assert (row.pixel_id, instant(row.received_at), row.reason) == (
            found.pixel_id,
            found.received_at,
            found.reason or "",
        )
        assert (row.other, row.page_path, row.same) == (found.other, found.page_path, found.browser.value[:4])


def reader_of_installation() -> Reader:
    catalogue = Catalogue(database_conninfo())
    catalogue.reload()
    with override_settings(MUSTER_DEV_HTTP_COOKIE=False):
        return Reader(endpoint_of(catalogue))


CANARIES = {
    "Host": "px.example.com",
    "Cookie": "session=CANARY1; __Host-muid=1.x; _ga=CANARY2",
    "Referer": "https://CANARY3:CANARY3@shop.example/cart?email=CANARY4#CANARY5",
    "Origin": "https://shop.example/CANARY6",
    "Authorization": "Bearer CANARY7",
    "X-Forwarded-For": "198.51.100.77",
    "Forwarded": "for=198.51.100.77",
    "Muster-Replay": "CANARY8",
    "Purpose": "CANARY9",
    "X-Request-Id": "CANARY0",
}


def test_the_log_holds_nothing_that_it_is_not_to_know(tmp_path, open_database):
    with listener_door(**PROXIED) as door, Nginx(tmp_path, door_port=door.port) as nginx:
        assert nginx.get("/seg?add=1", **CANARIES).status == 200
        assert nginx.get("/favicon.ico", **CANARIES).status == 404
        assert nginx.get("/seg?" + "a" * 40_000, **CANARIES).status == 414
        assert nginx.get("/seg?add=1", Cookie="CANARY1=" + "x" * 40_000, Host="px.example.com").status == 400
        door.process.terminate()
        door.process.wait()
        assert nginx.get("/seg?add=1", **CANARIES).status == 502
        assert nginx.get("/admin/?q=CANARY", port=nginx.admin_port, **CANARIES).status == 502
    written = nginx.everything_written()
    assert written.count(b"\n") >= 6
    for secret in (b"CANARY", b"127.0.0.1", b"198.51.100"):
        assert secret not in written, [text for text in written.splitlines() if secret in text]
