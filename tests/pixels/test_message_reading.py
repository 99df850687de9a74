"""Messages of the HTTP API as they are read: limits, times, ids, names, and what a bad one does to its neighbours."""

import dataclasses
import gzip
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.instants import moment
from audience.values import DEPTH, LARGEST_BYTES, LONGEST_NAME, LONGEST_TEXT, PROPERTIES
from pixels import records
from pixels.messages import bodies
from pixels.messages.arrivals import Arrival
from pixels.messages.bodies import BODY_BYTES, EVENTS
from pixels.messages.errors import MessageError, Refused
from pixels.messages.reading import LONGEST_MESSAGE_ID, read_request
from pixels.records import line_of
from tests.pixels.messages import ADVERTISER, COOKIE, NOW, error_of, read, read_one, sender, utc

GOOD = {"type": "track", "event": "viewed", "anonymousId": "x1"}


def nested(depth, end=1):
    return {"a": nested(depth - 1, end)} if depth else end


def refusal(body):
    with pytest.raises(Refused) as refused:
        bodies.read(body)
    return str(refused.value.error)


# limit -> (a message at the limit, one beyond it, how that is refused)
LIMITS = {
    "event": (
        {"properties": {str(n): "x" * 8_000 for n in range(4)}},
        {"properties": {str(n): "x" * 8_190 for n in range(4)}},
        "too_large",
    ),
    "properties": (
        {"properties": dict.fromkeys(map(str, range(PROPERTIES)))},
        {"properties": dict.fromkeys(map(str, range(PROPERTIES + 1)))},
        "too_many_properties",
    ),
    "depth": ({"properties": nested(DEPTH)}, {"properties": nested(DEPTH + 1)}, "too_deep"),
    "depth of lists": ({"properties": {"a": [[[[1]]]]}}, {"properties": {"a": [[[[[1]]]]]}}, "too_deep"),
    "name": (
        {"properties": {"x" * LONGEST_NAME: 1}},
        {"properties": {"x" * (LONGEST_NAME + 1): 1}},
        "too_large",
    ),
    "event's name": ({"event": "x" * LONGEST_NAME}, {"event": "x" * (LONGEST_NAME + 1)}, "too_large"),
    "text": ({"properties": {"a": "x" * LONGEST_TEXT}}, {"properties": {"a": "x" * (LONGEST_TEXT + 1)}}, "too_large"),
    "messageId": (
        {"messageId": "x" * LONGEST_MESSAGE_ID},
        {"messageId": "x" * (LONGEST_MESSAGE_ID + 1)},
        "bad_message_id",
    ),
    "number": ({"properties": {"a": 10**308}}, {"properties": {"a": 10**309}}, "too_large"),
    "digits": ({"properties": {"a": 10**308}}, {"properties": {"a": 10**4200}}, "too_large"),
    "age": (
        {"timestamp": "2026-10-23T10:15:00Z"},
        {"timestamp": "2026-10-23T10:14:59Z"},
        "too_old",
    ),
}


@pytest.mark.spec("L")
@pytest.mark.spec("pixels.md 4.2")
@pytest.mark.parametrize("limit", LIMITS)
def test_limits_of_a_message(limit):
    within, beyond, error = LIMITS[limit]
    at, above, neighbour = read({"batch": [{**GOOD, **within}, {**GOOD, **beyond}, GOOD]}, None)
    assert at.message is not None
    assert above.error == error
    assert neighbour.message is not None


@pytest.mark.spec("L")
@pytest.mark.spec("pixels.md 4.2")
def test_limits_of_a_body():
    frame = len('{"a":""}')
    body = b'{"a":"%s"}' % (b"x" * (BODY_BYTES - frame))
    assert len(body) == BODY_BYTES
    assert bodies.read(body)
    assert bodies.read(gzip.compress(body))
    assert refusal(body + b" ") == "payload_too_large"
    assert refusal(gzip.compress(body + b" ")) == "payload_too_large"
    assert refusal(gzip.compress(b"0" * (1 << 30), 1)) == "payload_too_large"
    assert len(read({"batch": [GOOD] * EVENTS}, None)) == EVENTS
    with pytest.raises(Refused, match=r"2,500"):
        read({"batch": [GOOD] * (EVENTS + 1)}, None)


def test_a_large_batch_holds_no_large_message():
    text = "ü" * (LARGEST_BYTES // 2)
    large, small = read({"batch": [{**GOOD, "integrations": text}, GOOD]}, None)
    assert large.error == "too_large"
    assert small.message is not None


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"1", b'"a"', b"{", b"{]", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}'),
        gzip.compress(b"{}", mtime=0)[:-1],
        b"\x1f\x8bnonsense",
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
)
def test_what_is_no_json_object(body):
    assert refusal(body) == "invalid_json"


@pytest.mark.spec("R4")
@pytest.mark.spec("pixels.md 4.2")
@pytest.mark.parametrize(
    ("poison", "error"),
    [
        (
            '{"type":"track","event":"a","anonymousId":"x","properties":%s}'
            % ('{"a":' * 60_000 + "1" + "}" * 60_000),
            "too_deep",
        ),
        ('{"type":"track","event":"a","anonymousId":"x","properties":{"a":1e999}}', "too_large"),
        ('{"type":"track","event":"a","anonymousId":"x","properties":{"a":-1e999}}', "too_large"),
        ('{"type":"track","event":"a","anonymousId":"x","properties":{"a":%s}}' % ("9" * 10_000), "too_large"),
        ('{"type":"track","event":"a","anonymousId":"x","timestamp":"0000-01-01T00:00:00Z"}', "bad_time"),
        ('{"type":"track","event":"a","anonymousId":"x","timestamp":"10000-01-01T00:00:00Z"}', "bad_time"),
        ('{"type":"track","event":"a","anonymousId":"x","timestamp":"0001-01-01T00:00:00+23:59"}', "too_old"),
        ('{"type":"track","event":"a","anonymousId":"x","properties":[1]}', "bad_type"),
        ('{"type":"launch"}', "bad_type"),
        ('{"type":["track"]}', "bad_type"),
        ("[]", "bad_type"),
        ("null", "bad_type"),
        ('"text"', "bad_type"),
        ('{"type":"track","anonymousId":"x"}', "no_event_name"),
        ('{"type":"track","event":{"a":1},"anonymousId":"x"}', "no_event_name"),
        ('{"type":"track","event":" ","anonymousId":"x"}', "no_event_name"),
        ('{"type":"track","event":"a","anonymousId":"x","messageId":7}', "bad_message_id"),
    ],
)
def test_poison_spoils_no_neighbour(poison, error):
    good = json.dumps(GOOD)
    body = f'{{"batch":[{good},{poison},{good}]}}'.encode()
    before, bad, after = read_request(bodies.read(body), None, sender(), size=len(body))
    assert before.message
    assert after.message
    assert bad.error == error


def test_what_is_no_text_is_replaced():
    body = b'{"event":"a\\u0000b","anonymousId":"x","properties":{"k\\ud800":"\xff","nice":"\\ud83d\\ude00"}}'
    (one,) = read_request(bodies.read(body), "track", sender(), size=len(body))
    assert one.message is not None
    assert one.message.event == "a\ufffdb"
    assert json.loads(one.message.properties) == {"k\ufffd": "\ufffd", "nice": "😀"}


# timestamp, sentAt -> when it happened
TIMES = [
    (None, None, "2026-11-22 10:15"),
    ("2026-11-22T10:14:00Z", None, "2026-11-22 10:14"),
    ("2026-11-22T11:14:00+01:00", None, "2026-11-22 10:14"),
    ("2026-11-22T10:14:00", None, "2026-11-22 10:14"),  # without a zone it is UTC
    ("2026-11-22T10:16:00Z", None, "2026-11-22 10:15"),  # never later than the receipt
    ("2020-01-01T00:00:00Z", "2020-01-01T00:00:30Z", "2026-11-22 10:14:30"),  # a clock that is years behind
    ("2030-01-01T00:00:00Z", "2030-01-01T00:01:00Z", "2026-11-22 10:14"),  # and one that is ahead
    ("2026-11-22T10:14:00Z", "2026-11-22T10:13:00Z", "2026-11-22 10:15"),
    (None, "2020-01-01T00:00:00Z", "2026-11-22 10:15"),
]


@pytest.mark.spec("pixels.md 4.2")
@pytest.mark.parametrize(("timestamp", "sent_at", "expected"), TIMES)
def test_clock_skew(timestamp, sent_at, expected):
    message = read_one(anonymousId="x1", timestamp=timestamp, sentAt=sent_at)
    assert moment(message.occurred_at) == utc(expected)
    assert moment(message.received_at) == NOW


def test_a_batch_says_for_all_when_it_was_sent():
    batch = [{**GOOD, "timestamp": "2020-01-01T00:00:00Z"}]
    (one,) = read({"batch": batch, "sentAt": "2020-01-01T00:00:30Z"}, None)
    assert one.message is not None
    assert moment(one.message.occurred_at) == utc("2026-11-22 10:14:30")


def test_a_server_key_may_tell_of_older_days():
    server = sender(is_server=True)
    assert read_one("track", server, userId="C-1", timestamp="2026-01-01T00:00:00Z")
    assert error_of("track", server, userId="C-1", event="a", timestamp="2025-01-01T00:00:00Z") == "too_old"


@pytest.mark.spec("R5")
@pytest.mark.spec("pixels.md 4.2")
def test_message_id_once():
    first, again, other = (read_one(anonymousId="x1", messageId=name).id for name in ("m-1", "m-1", "m-2"))
    assert first == again != other
    assert len(first) == 16
    assert read_one(anonymousId="x1").id != read_one(anonymousId="x1").id


def test_views_are_events_named_by_their_kind():
    message = read_one(
        "page", anonymousId="x1", name="Home", properties={"url": "https://shop.example/?q=jo#a", "search": "?q=jo"}
    )
    assert message.event == "page"
    assert json.loads(message.properties) == {"url": "https://shop.example/", "name": "Home"}
    assert read_one("screen", anonymousId="x1", name="Cart").event == "screen"


@pytest.mark.spec("pixels.md 4.2")
def test_context_is_cut_like_a_referer():
    page = {"url": "https://jo:secret@shop.example/cart?mail=jo@example.com#top", "title": "Cart"}
    message = read_one(anonymousId="x1", context={"page": page, "ip": "203.0.113.7", "locale": "de-AT"})
    assert json.loads(message.context) == {
        "page": {"url": "https://shop.example/cart", "host": "shop.example", "path": "/cart", "title": "Cart"},
        "landing": {"url": "https://shop.example/cart", "path": "/cart"},
        "source": {"medium": "direct", "name": "direct"},
        "language": "de-AT",
        "channel": "web",
    }


def test_traits_of_an_identify_may_stand_in_its_context():
    message = read_one("identify", anonymousId="x1", context={"traits": {"plan": "gold"}})
    assert json.loads(message.traits) == {"plan": "gold"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)
FIELDS = [
    *("type", "event", "anonymousId", "userId", "groupId", "previousId", "properties", "traits", "context"),
    *("messageId", "timestamp", "sentAt", "userHash", "groupHash", "name", "category"),
]


@pytest.mark.spec("R4")
@given(st.binary())
def test_any_bytes_are_read_or_refused(body):
    try:
        value = bodies.read(body)
        read_request(value, None, sender(), size=len(body))
    except Refused:
        pass


@pytest.mark.spec("R4")
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON | st.just("track")) | JSON), st.integers(0, 5))
def test_no_message_loses_a_good_one(strangers, place):
    batch = [*strangers[:place], GOOD, *strangers[place:]]
    results = read({"batch": batch}, None)
    assert len(results) == len(batch)
    assert results[min(place, len(strangers))].message
    for one in results:
        assert (one.message is None) != (one.error is None)
        assert one.error is None or one.error in MessageError
        if one.message is not None:
            stored = one.message.properties + one.message.traits + one.message.context + one.message.event
            assert "\0" not in stored
            stored.encode()  # no half of a surrogate pair
            assert all(math.isfinite(value) for value in numbers(json.loads(one.message.properties)))


@pytest.mark.spec("R2")
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON | st.just("track")), min_size=1), st.booleans())
def test_a_message_comes_back_from_a_spool_as_it_was(bodies_, is_server):
    by = sender(is_server=is_server, browser=COOKIE if is_server else None)
    arrivals = [
        Arrival(one.id if one else b"\0" * 16, by.received_at, ADVERTISER, by.key.id, one, read_.error)
        for read_ in read(
            {"batch": [GOOD, {**GOOD, "type": "group", "groupId": "a", "userId": "u"}, *bodies_]}, None, by
        )
        for one in [read_.message]
    ]
    lines = b"".join(line_of(number, arrival) for number, arrival in enumerate(arrivals, 1))
    assert records.read(lines) == records.Records(arrivals, [], 0)


def numbers(value):
    if isinstance(value, dict):
        return [number for one in value.values() for number in numbers(one)]
    if isinstance(value, list):
        return [number for one in value for number in numbers(one)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize(("country", "phones"), [("", []), ("DE", ["+4989123456"])])
def test_a_phone_number_without_a_country_code_is_of_the_advertisers_country(country, phones):
    by = dataclasses.replace(sender(is_server=True), phone_country=country)
    message = read_one("identify", by, userId="C-1", traits={"phone": "089 123456"})
    assert [key.value for key in message.proven if key.kind == "phone"] == phones
    assert json.loads(message.traits) == {"phone": "089 123456"}
