"""An endpoint that knows one advertiser, without a database."""

from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from audience.context.place import Places
from audience.instants import HOUR
from audience.writekeys import digest_of
from pixels.catalogue import KnownAdvertiser, KnownPixel, KnownSegment, Picture
from pixels.cookie import Signer
from pixels.cookies import Cookies
from pixels.endpoint import Endpoint
from pixels.hosts import Hosts
from pixels.messages.endpoint import CallLimits, MessageEndpoint
from pixels.messages.sender import KnownWriteKey
from pixels.parsing import Item
from pixels.replay import Replay
from pixels.steps import Limits

SIGNER = Signer([("k1", "secret")])
KEY = "7kQ2mB9xV4tL0aZs"
WRITE_KEY, SERVER_KEY = "mw_4f9c2b7a", "ms_SECRET"


def known_segment(number: int, code: str) -> KnownSegment:
    return KnownSegment(
        id=number,
        advertiser_id=10,
        code=code,
        version=1,
        is_pixel_kind=True,
        is_active=True,
        is_deleted=False,
        modes={"add": "domains", "remove": "domains"},
        hosts=Hosts(["shop.example", "*.shop.example"]),
        are_domains_enforced=True,
        lifetime=30 * 24 * HOUR,
        longest_lifetime_minutes=43200,
        value_from=0,
        value_to=None,
        refire="restart",
        re_add="replace",
        is_readable_on_page=False,
    )


SEGMENTS = {number: known_segment(number, code) for number, code in ((12, "cart"), (13, "vip"))}
PIXEL = KnownPixel(21, 10, is_paused=False, takes_value=True, takes_lifetime=True, items=(Item("add", "12"),))
SHOP = KnownAdvertiser(
    id=10,
    id_key=b"key",
    zone=ZoneInfo("UTC"),
    is_cookie_check_on=False,
    direct_pixel=PIXEL,
    segments={segment.code: segment for segment in SEGMENTS.values()},
    page_origins=frozenset({"https://shop.example"}),
    identity_secrets=("identity-test-secret",),
    redirect_hosts=Hosts(["ad.partner.example", "*.cdn.example"]),
)
PICTURE = Picture(
    advertisers={10: SHOP},
    segments=SEGMENTS,
    pixels={KEY: PIXEL},
    first_party_hosts={"px": SHOP},
    write_keys={WRITE_KEY: KnownWriteKey(5, 10), digest_of(SERVER_KEY): KnownWriteKey(6, 10, is_server=True)},
)
CATALOGUE: Any = SimpleNamespace(picture=PICTURE, is_loaded=True)
ENDPOINT = Endpoint(CATALOGUE, Cookies(SIGNER), Limits(), Replay("secret"))
MESSAGES = MessageEndpoint(
    CATALOGUE, Cookies(SIGNER), CallLimits(0, 0), Places(()), public_url="https://px.example.com"
)


class Sent(dict[str, str]):
    def get_all(self, name: str) -> list[str]:
        return [self[name]] if name in self else []
