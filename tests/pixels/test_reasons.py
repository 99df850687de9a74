"""The closed lists: in the documentation, and each reason on the marketer's screen."""

import re
from pathlib import Path

import pytest

from pixels.models import Pixel
from pixels.reasons import SUPPRESSING, Note, Outcome, Reason
from segments.models import Segment
from tests.pixels.shop import Shop, counted

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reasons.md"


@pytest.mark.spec("pixels.md §0")
@pytest.mark.parametrize(("heading", "entries"), [("Outcomes", Outcome), ("Reasons", Reason), ("Notes", Note)])
def test_reason_lists_match_docs(heading, entries):
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    documented = re.findall(r"^\| `(\w+)` \| (.+) \|$", section[1], re.MULTILINE)
    assert len(documented) == len(dict(documented))
    assert dict(documented) == {entry.value: str(entry.label) for entry in entries}


BOT = {"user_agent": "Googlebot/2.1"}

# reason -> (edits of the segment `cart`, of the pixel, the tag, its headers); {…} stand for numbers
REACHED = {
    Reason.EMPTY: ({}, {}, "/seg?member={id}", {}),
    Reason.TOO_LONG: ({}, {}, "/seg?add={cart}&other=" + "x" * 8192, {}),
    Reason.BAD_ENCODING: ({}, {}, "/seg?add={cart}&other=%FF", {}),
    Reason.REPEATED_PARAMETER: ({}, {}, "/seg?add={cart}&value=1&value=2", {}),
    Reason.TOO_MANY_SEGMENTS: ({}, {}, "/seg?add={cart}" + ",1" * 100, {}),
    Reason.BAD_NUMBER: ({}, {}, "/seg?add=0&member={id}", {}),
    Reason.BAD_CODE: ({}, {}, "/seg?add_code=a.b&member={id}", {}),
    Reason.PERSONAL_DATA: ({}, {}, "/seg?add={cart}&other=jo@example.com", {}),
    Reason.MISSING_MEMBER: ({}, {}, "/seg?add={cart}&add_code=vip", {}),
    Reason.PIXEL_PAUSED: ({}, {"state": Pixel.State.PAUSED}, "/p/{key}.gif", {}),
    Reason.NO_COOKIE: ({}, {}, "/seg?add={cart}&mb=1", {}),
    Reason.BOT: ({}, {}, "/seg?add={cart}", BOT),
    Reason.RATE_LIMITED: ({}, {}, "/seg?add={cart}", {}),
    Reason.BAD_PARTNER: ({}, {}, "/setuid?member={id}&partner=nobody&user=1", {}),
    Reason.PARTNER_ID_TAKEN: ({}, {}, "/mapuid?member={id}&user=1", {}),
    Reason.SIGNATURE_MISSING: ({}, {}, "/seg?add={cart}&cid=C-1001", {}),
    Reason.SIGNATURE_BAD: ({}, {}, "/seg?add={cart}&sig=1.s1.1795000000.x", {}),
    Reason.UNKNOWN_SEGMENT: ({}, {}, "/seg?add_code=nothing&member={id}", {}),
    Reason.WRONG_KIND: ({"kind": Segment.Kind.RULE}, {}, "/seg?add={cart}", {}),
    Reason.INACTIVE_SEGMENT: ({"is_active": False}, {}, "/seg?add={cart}", {}),
    Reason.DOMAIN_NOT_ALLOWED: (
        {"write_mode": "domains", "are_domains_enforced": True},
        {},
        "/seg?add={cart}",
        {"referer": "https://copy.example/"},
    ),
    Reason.DOMAIN_MISSING: ({"write_mode": "domains", "are_domains_enforced": True}, {}, "/seg?add={cart}", {}),
    Reason.SERVER_ONLY: ({"write_mode": "server_only"}, {}, "/seg?add={cart}", {}),
    Reason.BAD_VALUE: ({}, {}, "/seg?add={cart}:-1", {}),
    Reason.VALUE_OVERFLOW: ({}, {}, "/seg?add={cart}:2147483648", {}),
    Reason.VALUE_OUT_OF_RANGE: ({"value_to": 5}, {}, "/seg?add={cart}:6", {}),
    Reason.PLACEHOLDER_LEFT: ({}, {}, "/seg?add={cart}:[VALUE]", {}),
    Reason.BAD_LIFETIME: ({}, {}, "/seg?add={cart}::0", {}),
    Reason.OPTED_OUT: ({}, {}, "/seg?add={cart}", {"cookie": "__Host-mopt=1"}),
}
# These lead to no advertiser: counted for the installation.
REACHED_BY_NOBODY = {
    Reason.UNKNOWN_MEMBER: "/seg?add=1&member=999999999",
    Reason.UNKNOWN_PIXEL: "/p/unknownunknown00.gif",
}
# The parts of the door that give these are still to come.
TO_COME = {
    *(Reason.SIGNATURE_EXPIRED, Reason.SIGNATURE_REPLAYED),  # signatures
    Reason.SPOOL_DAMAGED,
    *(Reason.CONSENT_DENIED, Reason.NO_SIGNAL, Reason.ERASED, Reason.GPC, Reason.USP_OPT_OUT),
    *(Reason.TCF_MISSING, Reason.TCF_INVALID, Reason.TCF_OLD, Reason.TCF_PURPOSE, Reason.TCF_VENDOR),
    *(Reason.TCF_NOT_DISCLOSED, Reason.GPP_OPT_OUT, Reason.GPP_INVALID),
}


def test_every_reason_has_a_way_to_it():
    assert {*REACHED, *REACHED_BY_NOBODY} | TO_COME == set(Reason)
    assert not {*REACHED, *REACHED_BY_NOBODY} & TO_COME


@pytest.mark.spec("pixels.md 1.6")
@pytest.mark.parametrize("reason", REACHED, ids=str)
def test_every_reason_reachable_and_shown(door, reason):
    segment, pixel, tag, headers = REACHED[reason]
    shop = Shop(door, is_cookie_check_on=reason is Reason.NO_COOKIE)
    shop.change(shop.cart, **segment)
    shop.change(shop.pixel, **pixel)
    numbers = {"cart": shop.cart.pk, "id": shop.id, "key": shop.pixel.public_key}
    for name, number in numbers.items():
        tag = tag.replace("{" + name + "}", str(number))
    if reason is Reason.RATE_LIMITED:
        headers = {"cookie": shop.p().cookie or ""}
        for _ in range(119):
            shop.p(**headers)
    if reason is Reason.PARTNER_ID_TAKEN:
        door.get(tag)
    assert door.get(tag, **headers).status == 200
    outcome = "suppressed" if reason in SUPPRESSING else "rejected"
    assert shop.outcome() == f"{outcome} {reason}"
    assert counted(advertiser=shop.id, outcome=outcome, reason=reason) == 1


@pytest.mark.spec("pixels.md 1.6")
@pytest.mark.parametrize("reason", REACHED_BY_NOBODY, ids=str)
def test_what_leads_to_nobody_is_counted(door, reason):
    assert door.get(REACHED_BY_NOBODY[reason]).status == 200
    assert counted(advertiser=None, outcome="rejected", reason=reason) == 1
