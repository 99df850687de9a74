"""What of the door can be told without a transport and a database."""

import time

import pytest
from django.test import override_settings

from config.environment import networks
from pixels.answers import Answer
from pixels.endpoint import Pending
from pixels.intake import limits_of_installation
from pixels.steps import Limits, Request
from tests.pixels.doors import DjangoDoor, listener_door
from tests.pixels.pictures import ENDPOINT, KEY, SIGNER, Sent
from tests.pixels.shop import Shop

TODAY = int(time.time()) // 86400


class TwoLines(Sent):
    """Headers of HTTP/2, where each cookie may come in a line of its own."""

    def get_all(self, name: str) -> list[str]:
        return ["_ga=GA1.1.1", f"__Host-muid={SIGNER.sign(SIGNER.mint(TODAY))}"] if name == "cookie" else []


def answer(headers: Sent) -> Answer:
    received = ENDPOINT.receive(Request("GET", f"/p/{KEY}.gif", "", headers, "203.0.113.7"))
    assert isinstance(received, Pending)
    return received.answer


def test_the_cookie_is_found_in_a_second_line():
    assert "set-cookie" in dict(answer(Sent(cookie="_ga=GA1.1.1")).headers)
    assert "set-cookie" not in dict(answer(TwoLines(cookie="_ga=GA1.1.1")).headers)


@pytest.mark.spec("pixels.md 1.1")
def test_limits_of_an_installation():
    assert limits_of_installation() == Limits(8192, 16384, 100, 120, 6000)
    with override_settings(MUSTER_FIRES_PER_ADDRESS=0):
        assert limits_of_installation().fires_per_address == 0


# --- Whose address counts -------------------------------------------------------------------------


def outcomes(shop: Shop, *forwarded_for: str) -> list[str]:
    """Fire once for each X-Forwarded-For and return how the fires ended."""
    ended = []
    for addresses in forwarded_for:
        shop.p(x_forwarded_for=addresses)
        ended.append(shop.outcome())
    return ended


ONE, OTHER = "203.0.113.1", "203.0.113.2"
APPLIED, LIMITED = "applied", "rejected rate_limited"


@pytest.mark.spec("pixels.md 1.1")
def test_behind_our_proxy_the_address_it_names_is_limited(open_database):
    limits = {"MUSTER_FIRES_PER_ADDRESS": "2", "MUSTER_TRUSTED_PROXIES": "127.0.0.1/32"}
    with listener_door(**limits) as door:
        seen = outcomes(Shop(door), ONE, ONE, ONE, OTHER, f"{OTHER}, {ONE}", f"{ONE}, {OTHER}, 127.0.0.1")
    assert seen == [APPLIED, APPLIED, LIMITED, APPLIED, LIMITED, APPLIED], "what stands left was written by strangers"


@pytest.mark.spec("pixels.md 1.1")
def test_without_a_proxy_of_ours_nobody_chooses_an_address(open_database):
    with listener_door(MUSTER_FIRES_PER_ADDRESS="2") as door:
        assert outcomes(Shop(door), ONE, OTHER, "203.0.113.3") == [APPLIED, APPLIED, LIMITED]


@pytest.mark.spec("pixels.md 1.1")
@pytest.mark.parametrize(("proxies", "last"), [(["127.0.0.1/32"], APPLIED), ([], LIMITED)])
def test_the_same_behind_django(restarted, proxies, last):
    door: DjangoDoor = restarted(MUSTER_FIRES_PER_ADDRESS=2, MUSTER_TRUSTED_PROXIES=networks(proxies))
    assert outcomes(Shop(door), ONE, ONE, OTHER) == [APPLIED, APPLIED, last]
