"""The segments by rules of a demo: starting points, edited to what its visitors do. A row each."""

import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from audience.models import Advertiser
from config.demo import tags
from segments.editing import change_segment
from segments.models import RuleVersion, Segment
from segments.starting_points import STARTING_POINTS

PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.2
BANNER = "cart-under-100"  # the segment whose members see the shop's banner

_STARTS = {one.key: one.node for one in STARTING_POINTS}
_LAST_30_DAYS = {"within": "30d"}


class NotBuilt(RuntimeError):
    """A demo's rules do not serve; the message says why."""


@dataclass(frozen=True)
class DemoRule:
    """One segment by a rule. It is made where all these pixels are fired: its events come with them."""

    code: str
    name: str
    description: str
    node: dict[str, Any]
    pixels: tuple[str, ...] = (tags.ORDER,)
    is_readable_on_page: bool = False

    @property
    def text(self) -> str:
        return json.dumps({"muster_rule": 1, "of": "profile", "rule": self.node})


RULES = (
    DemoRule(
        BANNER,
        "Cart under 100",
        "What is in the cart is worth less than 100. The shop's pages ask for it and show the banner.",
        _STARTS["cart-under-100"],
        pixels=(tags.CART, tags.ORDER),
        is_readable_on_page=True,
    ),
    DemoRule(
        "cart-left",
        "Cart left for 24 hours",
        "Put something into the cart a day ago or longer, and bought nothing since. After a week they are let alone.",
        {**_STARTS["cart-abandoners"], "window": {"between_ago": ["24h", "7d"]}},
        pixels=(tags.CART, tags.ORDER),
    ),
    DemoRule(
        "often",
        "Bought twice in 30 days",
        "They leave when the order before their last one is 30 days old.",
        {**_STARTS["repeat-buyers"], "window": _LAST_30_DAYS},
    ),
    DemoRule(
        "spent-100",
        "Spent over 100 in 30 days",
        "All orders of the last 30 days together.",
        {**_STARTS["big-spenders"], "window": _LAST_30_DAYS, "sum": {"of": "total", "more_than": 100}},
    ),
    DemoRule(
        "lapsed",
        "Last bought over 30 days ago",
        "They join by time alone, 30 days after an order that no other one has followed.",
        {**_STARTS["lapsed"], "event": "purchase"},
    ),
    DemoRule(
        "letter-not-bought",
        "Came by newsletter, did not buy",
        "In the segment of the newsletter's pixel, and without an order in 30 days.",
        {
            "all_of": [
                {"segment": "newsletter", "in": True},
                {"event": "purchase", "window": _LAST_30_DAYS, "count": {"none": True}},
            ]
        },
        pixels=(tags.NEWSLETTER_LANDING, tags.ORDER),
    ),
)


def make_rule_segments(advertiser: Advertiser, pixels: Collection[str]) -> list[Segment]:
    """Make the segments by rules that follow from these pixels; the worker builds them."""
    made = []
    for one in RULES:
        if set(one.pixels) <= set(pixels):
            segment = Segment(
                advertiser=advertiser,
                name=one.name,
                code=one.code,
                description=one.description,
                kind=Segment.Kind.RULE,
                is_readable_on_page=one.is_readable_on_page,
            )
            segment.full_clean()
            change_segment(segment, {}, rule=one.text)
            made.append(segment)
    return made


def await_built(segments: Sequence[Segment]) -> Iterator[Segment]:
    """Yield each segment once its rule serves. Raises `NotBuilt`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    for segment in segments:
        versions = RuleVersion.objects.filter(segment=segment)
        while (state := versions.latest("number").state) == RuleVersion.State.BUILDING:
            if time.monotonic() > deadline:
                raise NotBuilt(f"{segment} still waits for a worker. It serves as soon as one runs (make up).")
            time.sleep(LOOK_SECONDS)
        if state != RuleVersion.State.ACTIVE:
            raise NotBuilt(f"{segment}: {versions.latest('number').failure}")
        segment.refresh_from_db()
        yield segment
