"""The whole way of a fire, through both doors: what is answered, and what then stands in the tables."""

from uuid import UUID

import pytest

from audience.tenancy import acting_for
from pixels.answers import crockford
from pixels.models import Fire, Pixel, PixelAction, new_public_key
from pixels.reasons import Note
from tests.factories import make_pixel, make_segment
from tests.pixels.doors import until
from tests.pixels.shop import Shop, counted

GIF = bytes.fromhex("4749463839610100010080000000000000000021f90401000000002c00000000010001000002024401003b")
PER_FIRE = {"muster-fire", "set-cookie", "date"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def shop(door):
    return Shop(door)


# --- What a fire does -----------------------------------------------------------------------------


@pytest.mark.spec("pixels.md 1.1")
def test_seg_adds_removes_by_number_and_code(shop):
    first = shop.seg("add={cart},{left}&t=2&cb=91827")
    assert shop.values() == {"cart": None, "left": None}

    shop.seg("add_code=VIP&remove_code=Left&member={id}", cookie=first.cookie)
    assert shop.values() == {"cart": None, "vip": None}

    shop.seg("remove={cart}&remove_code=vip&member={id}", cookie=first.cookie)
    assert shop.values() == {}
    assert shop.profiles() == 1, "one browser"
    assert shop.outcome() == "applied"
    assert shop.fire().pixel_id == shop.direct.pk


@pytest.mark.spec("pixels.md 1.1")
def test_seg_mixed_values(shop):
    shop.seg("add={cart}:65,{vip}&add_code=left:0&member={id}&value=7")
    assert shop.values() == {"cart": 65, "vip": 7, "left": 0}


@pytest.mark.spec("pixels.md 1.1")
def test_repeated_lists_are_joined(shop):
    shop.seg("add={cart}&add={vip}:3&add_code=left&member={id}")
    assert shop.values() == {"cart": None, "vip": 3, "left": None}


def test_a_refused_action_does_not_hold_back_the_others(shop):
    shop.seg("add=999999,{cart}:2147483648,{vip}:5,x")
    fire = shop.fire()
    assert shop.values() == {"vip": 5}
    assert shop.outcome() == "applied"
    refused = [(one["code"], one["reason"]) for one in fire.actions if one.get("reason")]
    assert refused == [("999999", "unknown_segment"), ("cart", "value_overflow"), ("x", "bad_number")]


def test_when_all_actions_are_refused_the_first_one_is_the_reason(shop):
    shop.seg("add={cart}:-1,{vip}:2147483648&remove=999999&member={id}")
    assert shop.outcome() == "rejected bad_value"
    assert shop.profiles() == 0


def test_the_same_segment_twice_counts_as_its_last_item(shop):
    shop.seg("add={cart}:1,{vip},{cart}:2&add_code=CART:3&member={id}")
    assert shop.values() == {"cart": 3, "vip": None}
    shop.seg("add={cart}:1,{cart}:x")
    assert shop.outcome() == "rejected bad_value"


def test_remove_wins(shop):
    shop.seg("add={cart},{vip}&remove_code=cart&member={id}")
    assert shop.values() == {"vip": None}
    assert Note.REMOVE_WINS in shop.fire().notes


def test_a_fire_belongs_to_member_or_to_the_owner_of_its_first_known_number(door, shop):
    other = Shop(door)
    shop.seg(f"add=999999,{shop.cart.pk},{other.cart.pk}")
    assert shop.outcome() == "applied"
    assert other.fires() == 0, "another advertiser's segment in it is unknown, and nothing else"

    shop.seg(f"add={shop.cart.pk},{other.cart.pk}&member={other.id}")
    assert other.values() == {"cart": None}
    assert [one["reason"] for one in other.fire().actions if "reason" in one] == ["unknown_segment"]


def test_a_tag_is_filed_under_the_pixel_it_was_exported_from(door, shop):
    other = Shop(door)
    for pid, pixel in (
        (shop.pixel.public_key, shop.pixel),
        ("unknown", shop.direct),
        (other.pixel.public_key, shop.direct),
    ):
        shop.seg(f"add={{vip}}&pid={pid}")
        assert shop.outcome() == "applied"
        assert shop.fire().pixel_id == pixel.pk


def test_what_stands_in_the_live_view(shop):
    reply = shop.seg(
        "add={cart}:65&remove={vip}&other=red%20shoes&pg=/checkout?x=1&cb=1",
        user_agent=FIREFOX,
        referer="https://shop.example/cart?user=7",
    )
    fire = shop.fire()
    assert (fire.page_host, fire.page_path) == ("shop.example", "/checkout")
    assert (fire.browser, fire.device, fire.other) == ("Firefox", "desktop", "red shoes")
    assert [(one["do"], one["code"], one["value"]) for one in fire.actions] == [
        ("add", "cart", 65),
        ("remove", "vip", None),
    ]
    assert reply.header("muster-fire") == crockford(fire.id.bytes)


@pytest.mark.spec("pixels.md 1.1")
def test_a_refused_fire_names_the_segments_that_it_would_have_changed(door, shop):
    other = Shop(door)
    shop.seg("add={cart}:5,999999&remove_code=vip,nothing&member={id}&other=jo@example.com")
    shop.seg(f"add={{cart}}&remove={{vip}},{other.cart.pk}", user_agent="Googlebot/2.1")
    with acting_for(shop.id):
        for fire, reason in zip(Fire.objects.order_by("received_at"), ("personal_data", "bot"), strict=True):
            named = [(one["do"], one["code"], one["value"], one["reason"]) for one in fire.actions]
            assert named == [("add", "cart", "", reason), ("remove", "vip", "", reason)]


def test_the_same_event_id_is_a_duplicate(shop):
    first = shop.seg("add={cart}:1&eid=order-1")
    again = shop.seg("add={cart}:2&eid=order-1", cookie=first.cookie)
    assert shop.outcome() == "duplicate"
    assert shop.values() == {"cart": 1}
    assert again.body == first.body


def test_an_event_id_that_cannot_be_one_is_ignored(shop):
    first = shop.seg("add={cart}:1&eid=a%20b")
    shop.seg("add={cart}:2&eid=a%20b", cookie=first.cookie)
    assert shop.outcome() == "applied"
    assert Note.PARAMETER_IGNORED in shop.fire().notes


# --- The friendly pixel ---------------------------------------------------------------------------


@pytest.mark.spec("pixels.md 1.7")
@pytest.mark.parametrize(
    ("action", "pixel", "query", "seg"),
    [
        ({}, {}, "", "add={cart}"),
        ({"value": 65}, {}, "", "add={cart}:65"),
        ({"value": 65}, {"value_source": "none"}, "", "add={cart}"),
        ({"value": 65}, {}, "value=7", "add={cart}:65"),
        ({"value": 65}, {"value_source": "page"}, "value=7", "add={cart}:7"),
        ({"value": 65}, {"value_source": "page"}, "", "add={cart}:65"),
        ({}, {"value_source": "page"}, "value=-1", "add={cart}:-1"),
        ({"lifetime_minutes": 90}, {}, "", "add={cart}::90"),
        ({"lifetime_minutes": 90}, {"may_tags_set_lifetime": True}, "keep=2h", "add={cart}::2h"),
        ({"lifetime_minutes": 90}, {}, "keep=2h", "add={cart}::90"),
        ({"lifetime_minutes": 60 * 24 * 60}, {}, "", "add={cart}::60d"),
        ({}, {"may_tags_set_lifetime": True}, "keep=0", "add={cart}&keep=0"),
        ({"do": "remove"}, {}, "", "remove={cart}"),
        ({}, {}, "eid=1&other=x&pg=/a&cb=1", "add={cart}&eid=1&other=x&pg=/a&cb=1"),
    ],
)
def test_friendly_pixel_equals_seg(door, shop, action, pixel, query, seg):
    with acting_for(shop.id):
        for row, fields in ((PixelAction.objects.get(), action), (shop.pixel, pixel)):
            for name, value in fields.items():
                setattr(row, name, value)
            row.save()
    twin = Shop(door)
    shop.p(query)
    twin.seg(seg)
    assert shop.outcome() == twin.outcome()
    assert shop.values() == twin.values()
    if shop.values():
        assert shop.minutes("cart") == twin.minutes("cart")
    ignored = {Note.PARAMETER_IGNORED.value}
    assert set(shop.fire().notes) - ignored == set(twin.fire().notes)
    assert (shop.fire().other, shop.fire().page_path) == (twin.fire().other, twin.fire().page_path)


@pytest.mark.spec("pixels.md 1.7")
@pytest.mark.parametrize("query", ["add={vip}", "remove_code=cart&member=1", "value=3", "keep=1d"])
def test_the_pixels_row_decides_and_not_the_tag(shop, query):
    shop.p(query.format(vip=shop.vip.pk))
    assert shop.values() == {"cart": None}
    assert shop.minutes("cart") == shop.cart.lifetime_minutes
    assert shop.fire().notes == [Note.PARAMETER_IGNORED]


@pytest.mark.spec("pixels.md 1.7")
def test_pixel_edit_changes_next_fire(shop):
    first = shop.p()
    with acting_for(shop.id):
        PixelAction.objects.update_or_create(pixel=shop.pixel, segment=shop.vip, defaults={"value": 9})
        PixelAction.objects.get(segment=shop.cart).delete()

    def has_changed():
        shop.p(cookie=first.cookie)
        return "vip" in shop.values()

    until(has_changed, seconds=1)
    assert shop.values()["vip"] == 9


@pytest.mark.spec("pixels.md §0")
def test_new_segment_fires_at_once(shop):
    new = make_segment(shop.advertiser, "new")

    def is_known():
        shop.seg(f"add={new.pk}&member={{id}}")
        return shop.outcome() == "applied"

    until(is_known, seconds=1)


@pytest.mark.spec("pixels.md 1.7")
def test_a_renewed_key_works_beside_the_old_one_for_a_while(shop):
    old = shop.pixel.public_key
    shop.change(shop.pixel, public_key=new_public_key(), previous_key=old, previous_key_ends_at="2126-01-01T00:00Z")
    shop.p()
    shop.door.get(f"/p/{old}.gif")
    assert shop.fires() == 2
    shop.change(shop.pixel, previous_key_ends_at="2026-01-01T00:00Z")
    shop.door.get(f"/p/{old}.gif")
    assert shop.fires() == 2
    assert counted(advertiser=None, reason="unknown_pixel") == 1


@pytest.mark.spec("pixels.md 2.4")
def test_deleted_pixel_still_reports(shop):
    shop.change(shop.pixel, deleted_at="2026-11-01T00:00Z")
    shop.p(referer="https://shop.example/old")
    assert shop.outcome() == "rejected pixel_paused"
    assert shop.fire().page_path == "/old"
    shop.change(shop.pixel, deleted_at="2026-01-01T00:00Z")
    shop.p()
    assert shop.fires() == 1, "after 90 days its key leads nowhere"


def test_a_deleted_segment_still_leads_to_its_advertiser(shop):
    shop.change(shop.vip, deleted_at="2026-11-01T00:00Z")
    shop.seg("add={vip}", referer="https://shop.example/old")
    assert shop.outcome() == "rejected unknown_segment"
    make_segment(shop.advertiser, "VIP")
    shop.door.catch_up()
    shop.seg("add_code=vip&member={id}")
    assert shop.outcome() == "applied", "its code can be used again"


def test_a_paused_pixel_stops_its_tags_in_both_forms(shop):
    shop.change(shop.pixel, state=Pixel.State.PAUSED)
    shop.p()
    assert shop.outcome() == "rejected pixel_paused"
    shop.seg(f"add={{cart}}&pid={shop.pixel.public_key}")
    assert shop.outcome() == "rejected pixel_paused"


def test_a_direct_pixel_comes_with_each_advertiser(shop):
    with acting_for(shop.id):
        assert Pixel.objects.filter(is_direct=True).count() == 1
    assert shop.direct.name == "Direct calls"


# --- What is answered -----------------------------------------------------------------------------


@pytest.mark.spec("pixels.md 1.2")
def test_gif_is_43_bytes(shop):
    for reply in (shop.seg("add={cart}&t=2"), shop.seg("add={cart}"), shop.seg("add={cart}&t=3"), shop.p()):
        assert (reply.status, reply.body) == (200, GIF)
        assert len(reply.body) == 43
        assert reply.header("content-type") == "image/gif"
        assert reply.header("content-length") == "43"


@pytest.mark.spec("pixels.md 1.2")
def test_script_is_13_bytes(shop):
    for reply in (shop.seg("add={cart}&t=1"), shop.p(form="js")):
        assert (reply.status, reply.body) == (200, b"/* muster */\n")
        assert reply.header("content-type") == "application/javascript; charset=utf-8"
        assert reply.header("content-length") == "13"


@pytest.mark.spec("pixels.md 1.2")
def test_headers_same_on_every_outcome(door, shop):
    other = Shop(door)
    known = shop.seg("add={cart}&eid=1")
    cookie = known.cookie
    replies = [
        shop.seg("add={cart}", cookie=cookie),
        shop.seg("add={cart}&eid=1", cookie=cookie),
        shop.seg("add={cart}:-1", cookie=cookie),
        shop.seg(f"add={other.cart.pk}&member={shop.id}", cookie=cookie),
        shop.seg("add=999999", cookie=cookie),
        shop.seg("", cookie=cookie),
        shop.seg("member=999999&add={cart}", cookie=cookie),
        shop.seg("%ff=%ff", cookie=cookie),
        shop.seg("add={cart}&cid=1", cookie=cookie),
        shop.seg("add={cart}", cookie=cookie, user_agent="Googlebot/2.1"),
        shop.p(cookie=cookie),
        door.get("/p/unknownunknown00.gif", cookie=cookie),
        known,
        shop.seg("add={cart}:-1"),
    ]
    for reply in replies:
        assert (reply.status, reply.body) == (200, GIF)
        fixed = {pair for pair in reply.headers if pair[0] not in PER_FIRE}
        assert fixed == {pair for pair in known.headers if pair[0] not in PER_FIRE}
        assert ("cache-control", "no-store, private") in fixed
        assert ("x-content-type-options", "nosniff") in fixed
        assert ("cross-origin-resource-policy", "cross-origin") in fixed
        names = {name for name, _ in reply.headers}
        assert not names & {"etag", "vary", "access-control-allow-origin"}
        assert len(reply.header("muster-fire") or "") == 26
    assert [reply.header("set-cookie") is not None for reply in replies] == [False] * 12 + [True] * 2


def test_the_fire_id_is_a_uuid_of_version_7(shop):
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = 0
    for digit in shop.p().header("muster-fire") or "":
        number = number * 32 + digits.index(digit)
    assert UUID(int=number) == shop.fire().id
    assert UUID(int=number).version == 7


@pytest.mark.spec("pixels.md 1.1")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_not_allowed(shop, method):
    for target in (f"/seg?add={shop.cart.pk}", f"/p/{shop.pixel.public_key}.gif"):
        reply = shop.door.get(target, method=method)
        assert reply.status == 405
        assert reply.header("allow") == "GET, HEAD"
    assert shop.fires() == 0


@pytest.mark.spec("pixels.md 1.1")
def test_head_is_no_fire(shop):
    reply = shop.door.get(f"/seg?add={shop.cart.pk}", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.header("content-type") == "image/gif"
    assert reply.header("set-cookie") is None
    for script in (f"/seg?add={shop.cart.pk}&t=1", f"/p/{shop.pixel.public_key}.js"):
        reply = shop.door.get(script, method="HEAD")
        assert reply.header("content-type") == "application/javascript; charset=utf-8"
    assert shop.fires() == 0
    assert counted() == 0


@pytest.mark.spec("pixels.md 1.1")
def test_a_request_line_over_the_limit_is_414(shop):
    fits = f"/seg?add={shop.cart.pk}&other="
    reply = shop.door.get(fits + "x" * (16384 - len(f"GET {fits} HTTP/1.1")))
    assert reply.status == 200
    assert shop.outcome() == "rejected too_long"
    assert shop.door.get(fits + "x" * (16385 - len(f"GET {fits} HTTP/1.1"))).status == 414
    assert shop.door.get(fits + "x" * 100_000).status == 414
    assert shop.fires() == 1


def test_a_query_of_8192_bytes_is_read_and_one_more_is_too_long(shop):
    query = f"add={shop.cart.pk}&other="
    shop.seg(query + "x" * (8192 - len(query)))
    assert shop.outcome() == "applied"
    assert shop.fire().other == "x" * 64
    shop.seg(query + "x" * (8193 - len(query)))
    assert shop.outcome() == "rejected too_long"
    assert shop.fire().other == ""


def test_a_hundred_segments_and_one_more(shop):
    shop.seg("add=" + ",".join(["{cart}"] * 100))
    assert shop.outcome() == "applied"
    shop.seg("add=" + ",".join(["{cart}"] * 100) + "&remove={vip}")
    assert shop.outcome() == "rejected too_many_segments"


@pytest.mark.parametrize("target", ["/seg/", "/segx", "/p/", "/p/abc", "/p/abc.png", "/SEG", "/nothing"])
def test_other_paths_are_not_there(door, target):
    assert door.get(target).status == 404
    assert counted() == 0


@pytest.mark.spec("pixels.md 1.6")
def test_what_leads_to_no_advertiser_is_counted_for_the_installation(door, shop):
    for target, reason in (
        ("/seg", "empty"),
        ("/seg?add=x", "bad_number"),
        ("/seg?add=999999", "unknown_segment"),
        ("/seg?add_code=cart", "missing_member"),
        ("/seg?add_code=cart&member=0", "bad_number"),
        (f"/seg?add={shop.cart.pk}&member=999999", "unknown_member"),
        ("/p/unknownunknown00.gif", "unknown_pixel"),
        ("/p/a/b.gif", "unknown_pixel"),
    ):
        reply = door.get(target)
        assert reply.header("set-cookie") is None
        assert counted(advertiser=None, outcome="rejected", reason=reason), target
    assert shop.fires() == 0
    with acting_for(shop.id):
        assert not Fire.objects.exists()


# --- Bots, rates ----------------------------------------------------------------------------------


def test_crawlers_and_prefetches_are_no_visitors(shop):
    for headers in (
        {"user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"},
        {"sec_purpose": "prefetch"},
        {"purpose": "prefetch"},
    ):
        assert shop.p(**headers).cookie, "the answer never tells"
        assert shop.outcome() == "rejected bot"
    assert shop.profiles() == 0
    shop.p(sec_purpose="prefetch;prerender", purpose="prefetch")
    assert shop.outcome() == "applied"


@pytest.mark.spec("pixels.md 1.1")
def test_a_browser_may_fire_120_times_a_minute(shop):
    cookie = shop.p().cookie
    for _ in range(119):
        reply = shop.p(cookie=cookie)
    assert shop.outcome() == "applied"
    assert shop.p(cookie=cookie).body == reply.body
    assert shop.outcome() == "rejected rate_limited"
    shop.p()
    assert shop.outcome() == "applied", "another browser at the same address"


# --- The order of checks --------------------------------------------------------------------------


@pytest.mark.spec("pixels.md §0")
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        # Each row holds its fault and all the later ones.
        ("add={cart}&value=1&value=2&other=jo@example.com&cid=1&other=%ff", "bad_encoding"),
        ("add={cart}&value=1&value=2&other=jo@example.com&cid=1", "repeated_parameter"),
        ("add={cart}&other=jo@example.com&cid=1", "personal_data"),
        ("add={cart}:x&cid=1", "signature_missing"),
        ("add={cart}:x&sig=1.s1.1.x&cid=1", "signature_bad"),
        ("add={cart}:x", "bot"),
    ],
)
def test_the_first_failure_is_the_reason(shop, query, reason):
    shop.seg(query, user_agent="Googlebot/2.1")
    assert shop.outcome() == f"rejected {reason}"


@pytest.mark.parametrize("query", ["other=jo@example.com", "other=%2B491701234567&pg=/x", "email=jo%40example.com"])
def test_nothing_of_personal_data_is_stored(shop, query):
    shop.seg("add={cart}&" + query, referer="https://shop.example/a")
    fire = shop.fire()
    assert shop.outcome() == "rejected personal_data"
    assert (fire.other, fire.page_path) == ("", "/a")


def test_two_pixels_of_one_advertiser_are_told_apart(shop):
    second = make_pixel(shop.advertiser, shop.vip, name="Second")
    shop.door.catch_up()
    shop.p()
    assert shop.fire().pixel_id == shop.pixel.pk
    shop.door.get(f"/p/{second.public_key}.gif")
    assert shop.fire().pixel_id == second.pk
