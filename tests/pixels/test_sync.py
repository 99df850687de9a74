"""User sync: a partner's ids come to lead to the browser's profile, and never to another one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.utils import timezone

from audience.models import Identifier
from audience.tenancy import acting_for
from pixels.models import Pixel
from pixels.partner_ids import forget_partner_ids
from tests.factories import make_partner, make_profile
from tests.pixels.doors import until
from tests.pixels.shop import Shop, counted

pytestmark = pytest.mark.spec("pixels.md 1.9")


@pytest.fixture
def shop(door):
    shop = Shop(door)
    make_partner(shop.advertiser)
    door.catch_up()
    return shop


def ids(shop: Shop) -> dict[str, str]:
    """Return the ids of partners, each with the browser of its profile."""
    with acting_for(shop.id):
        browsers = dict(Identifier.objects.filter(kind="browser").values_list("profile_id", "value"))
        found = Identifier.objects.filter(kind__startswith="partner:")
        return {f"{one.kind}={one.value}": browsers.get(one.profile_id, "") for one in found}


def setuid(shop: Shop, query: str = "partner=acme&user=12abc34", cookie: str | None = None):
    return shop.door.get(f"/setuid?member={shop.id}&{query}", **({"cookie": cookie} if cookie else {}))


def test_setuid_links_a_partners_id(shop):
    reply = setuid(shop)
    assert (reply.status, reply.header("content-type"), len(reply.body)) == (200, "image/gif", 43)
    (browser,) = shop.browsers()
    assert ids(shop) == {"partner:acme=12abc34": browser}
    assert shop.outcome() == "applied"
    assert [(one["do"], one["code"]) for one in shop.fire().actions] == [("link", "acme")]
    assert "12abc34" not in str(shop.fire().actions), "the live view shows whose id it is, not which"
    assert counted(advertiser=shop.id, outcome="applied") == 1

    setuid(shop, cookie=reply.cookie)
    shop.seg("add={cart}", cookie=reply.cookie)
    assert ids(shop) == {"partner:acme=12abc34": browser}
    assert (shop.profiles(), shop.values()) == (1, {"cart": None})


def test_setuid_never_takes_over(shop):
    setuid(shop)
    before = ids(shop)
    other = setuid(shop)
    assert shop.outcome() == "rejected partner_id_taken"
    assert [one["reason"] for one in shop.fire().actions] == ["partner_id_taken"]
    assert ids(shop) == before
    assert shop.profiles() == 1, "a rejected fire makes no profile"

    setuid(shop, "partner=acme&user=free", cookie=other.cookie)
    setuid(shop, cookie=other.cookie)
    assert shop.outcome() == "rejected partner_id_taken"
    assert ids(shop) == {**before, "partner:acme=free": (shop.browsers() - set(before.values())).pop()}
    assert shop.profiles() == 2, "and nothing is merged"


def test_an_id_that_the_api_gave_to_somebody_is_taken(shop):
    with acting_for(shop.id):
        make_profile(shop.advertiser, **{"partner:acme": "12abc34"})
    setuid(shop)
    assert shop.outcome() == "rejected partner_id_taken"


def test_two_browsers_at_once_get_an_id_once(shop):
    first, second = (shop.seg("add={cart}").cookie for _ in range(2))
    for cookie in (first, second, first, second):
        setuid(shop, cookie=cookie)
    assert len(ids(shop)) == 1
    assert counted(advertiser=shop.id, reason="partner_id_taken") == 2


def test_mapuid_adds_segment(shop):
    reply = shop.door.get(
        f"/mapuid?member={shop.id}&user=c-77;c-78&seg={shop.cart.pk}:3&seg_code=vip&value=9&remove={shop.left.pk}"
    )
    (browser,) = shop.browsers()
    assert ids(shop) == {"partner:own=c-77": browser, "partner:own=c-78": browser}
    assert shop.values() == {"cart": 3, "vip": None}
    assert shop.outcome() == "applied"
    assert [(one["do"], one["code"]) for one in shop.fire().actions] == [
        *(("link", "own"), ("link", "own")),
        *(("add", "cart"), ("add", "vip")),
    ]
    assert reply.cookie


def test_what_is_refused_does_not_hold_back_the_rest(shop):
    shop.door.get(f"/mapuid?member={shop.id}&user=taken")
    shop.door.get(f"/mapuid?member={shop.id}&user=taken;free&seg=999999")
    assert shop.outcome() == "applied"
    refused = [(one["code"], one.get("reason")) for one in shop.fire().actions]
    assert refused == [("own", "partner_id_taken"), ("own", None), ("999999", "unknown_segment")]

    shop.door.get(f"/mapuid?member={shop.id}&user=taken&seg={shop.cart.pk}")
    assert shop.outcome() == "applied"
    shop.door.get(f"/mapuid?member={shop.id}&seg={shop.cart.pk}")
    assert shop.outcome() == "applied"


def test_syncs_of_two_doors_at_once(listener, django_views):
    """Whoever comes first has an id; nobody waits for ever, and the books balance."""
    shop = Shop(listener)
    django_views.catch_up()
    cookies = [shop.seg("add={cart}").cookie or "" for _ in range(4)]

    def send(number: int) -> int:
        door, cookie = (listener, django_views)[number % 2], cookies[number % 4]
        ids = ";".join(str((number + step) % 5) for step in range(3))
        target = f"/mapuid?member={shop.id}&user={ids}&seg={shop.vip.pk if number % 3 else shop.cart.pk}"
        return door.get(target, cookie=cookie).status

    with ThreadPoolExecutor(8) as clients:
        assert set(clients.map(send, range(80))) == {200}
    until(lambda: counted(advertiser=shop.id) == 84)
    found = ids(shop)
    assert set(found) == {f"partner:own={number}" for number in range(5)}
    assert set(found.values()) <= shop.browsers()
    assert shop.profiles() == 4
    assert counted(advertiser=shop.id, outcome="applied") == 84, "the segment was added each time"


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        ("partner=nobody&user=1", "rejected bad_partner"),
        ("user=1", "rejected bad_partner"),
        ("partner=ACME&user=1", "applied"),
        ("partner=own&user=1", "applied"),
        ("partner=acme", "rejected empty"),
        ("partner=acme&user=;;", "rejected empty"),
        ("partner=acme&user=" + "x" * 256, "applied"),
        ("partner=acme&user=" + "x" * 257, "rejected too_long"),
        ("partner=acme&user=" + ";".join(map(str, range(10))), "applied"),
        ("partner=acme&user=" + ";".join(map(str, range(11))), "rejected too_long"),
        ("partner=acme&user=1&user=2", "rejected repeated_parameter"),
        ("partner=acme&user=%20", "rejected bad_encoding"),
        ("partner=acme&user=jo@example.com", "rejected personal_data"),
        ("partner=acme&user=%2B4989123456789", "rejected personal_data"),
        ("partner=acme&user=1&cid=C-1", "rejected signature_missing"),
        ("partner=acme&user=1&sig=1.s1.1795000000.x", "rejected signature_bad"),
    ],
)
def test_how_a_sync_ends(shop, query, outcome):
    assert setuid(shop, query).status == 200
    assert shop.outcome() == outcome
    assert shop.profiles() == (outcome == "applied")


def test_another_advertisers_partner_is_none(door, shop):
    other = Shop(door)
    setuid(other)
    assert other.outcome() == "rejected bad_partner"
    door.get("/setuid?partner=acme&user=1")
    assert counted(advertiser=None, reason="missing_member") == 1


def test_a_paused_pixel_and_a_cookie_check_count_for_syncs_too(door):
    shop = Shop(door, is_cookie_check_on=True)
    make_partner(shop.advertiser)
    shop.change(shop.pixel, state=Pixel.State.PAUSED)
    first = setuid(shop)
    assert (first.status, first.header("location")) == (
        302,
        f"/setuid?member={shop.id}&partner=acme&user=12abc34&mb=1",
    )
    setuid(shop, cookie=first.cookie)
    assert shop.outcome() == "applied"
    setuid(shop, f"partner=acme&user=12abc34&pid={shop.pixel.public_key}", cookie=first.cookie)
    assert shop.outcome() == "rejected pixel_paused"


def test_a_profile_that_is_full_gets_no_more_ids(restarted):
    door = restarted(MUSTER_IDENTIFIERS_PER_PROFILE=3)
    shop = Shop(door)
    first = door.get(f"/mapuid?member={shop.id}&user=1;2")
    door.get(f"/mapuid?member={shop.id}&user=3;4", cookie=first.cookie)
    assert set(ids(shop)) == {"partner:own=1", "partner:own=2"}


def test_ids_unseen_for_180_days_are_dropped(shop):
    setuid(shop, "partner=acme&user=old;again")
    later = timezone.now() + timedelta(days=181)
    forget_partner_ids(later - timedelta(days=2))
    assert set(ids(shop)) == {"partner:acme=old", "partner:acme=again"}
    with acting_for(shop.id):
        Identifier.objects.filter(value="again").update(last_seen_at=later - timedelta(days=5))
    assert forget_partner_ids(later) > 0
    assert set(ids(shop)) == {"partner:acme=again"}
    assert shop.browsers(), "other identifiers stay"
