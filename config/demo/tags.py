"""The segments and pixels of a demo advertiser: one row each, from which they are made and played."""

from dataclasses import dataclass

from segments.models import Segment

_DAY = 24 * 60


@dataclass(frozen=True)
class DemoSegment:
    """One segment that a demo makes."""

    code: str
    name: str
    lifetime_minutes: int
    description: str
    re_add: str = Segment.ReAdd.REPLACE
    refire: str = Segment.Refire.RESTART
    is_readable_on_page: bool = False


@dataclass(frozen=True)
class DemoPixel:
    """One pixel that a demo makes: what a fire adds and removes, and whether the page says a value.

    `events` are what the shop tells at the same moment, by the names that its pages use, with the value as `total`.
    """

    name: str
    adds: tuple[str, ...]
    removes: tuple[str, ...] = ()
    takes_value: bool = False
    events: tuple[str, ...] = ()


SEGMENTS = (
    DemoSegment("visitors", "Visitors", 14 * _DAY, "Everybody who saw a page in the last two weeks."),
    DemoSegment("newsletter", "Visitors from newsletter", 7 * _DAY, "Came by a link in the newsletter."),
    DemoSegment("adverts", "Visitors from adverts", 3 * _DAY, "Came by an advert. They cool off after three days."),
    DemoSegment(
        "cart",
        "Cart",
        36 * 60,
        "Something is in the cart, worth this much. An order empties it.",
        is_readable_on_page=True,
    ),
    DemoSegment(
        "bought", "Bought", 30 * _DAY, "Ordered in the last 30 days, for this much in all.", Segment.ReAdd.SUM
    ),
    DemoSegment(
        "bought-50",
        "Bought over 50",
        45 * _DAY,
        "Their largest order. A refund ends it.",
        Segment.ReAdd.HIGHEST,
    ),
    DemoSegment(
        "gift-buyers",
        "Gift buyers",
        21 * _DAY,
        "Three weeks from the first gift on; buying more does not prolong it.",
        refire=Segment.Refire.KEEP,
    ),
    DemoSegment("refunded", "Refunded", 14 * _DAY, "Got money back, this much at the last time."),
    DemoSegment("abroad", "Buyers from abroad", 30 * _DAY, "Ordered from outside of the shop's country."),
)
EVERY_PAGE = "Every page"
NEWSLETTER_LANDING = "Newsletter landing"
ADVERT_LANDING = "Advert landing"
CART = "Cart"
ORDER = "Order"
ORDER_OVER_50 = "Order over 50"
GIFT_ORDER = "Gift order"
REFUND = "Refund"
ORDER_FROM_ABROAD = "Order from abroad"
PIXELS = (
    DemoPixel(EVERY_PAGE, ("visitors",)),
    DemoPixel(NEWSLETTER_LANDING, ("newsletter",)),
    DemoPixel(ADVERT_LANDING, ("adverts",)),
    DemoPixel(CART, ("cart",), takes_value=True, events=("add_to_cart", "cart_updated")),
    DemoPixel(ORDER, ("bought",), ("cart",), takes_value=True, events=("purchase",)),
    DemoPixel(ORDER_OVER_50, ("bought-50",), takes_value=True),
    DemoPixel(GIFT_ORDER, ("gift-buyers",)),
    DemoPixel(REFUND, ("refunded",), ("bought-50",), takes_value=True),
    DemoPixel(ORDER_FROM_ABROAD, ("abroad",)),
)
