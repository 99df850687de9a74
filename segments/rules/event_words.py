"""What people call events: the standard names, and how any other one is spoken of."""

from typing import NamedTuple

from segments.rules.tree import ATTRIBUTE_CHANGED, VISIT


class EventWords(NamedTuple):
    """An event in its forms: "viewed a product", "view a product", "product views", "product view".

    An advertiser's display name gives `past` alone; the rest is then spoken around.
    """

    past: str
    base: str = ""
    plural: str = ""
    noun: str = ""


STANDARD = {
    VISIT: EventWords("visited", "visit", "visits", "visit"),
    ATTRIBUTE_CHANGED: EventWords(
        "had an attribute changed", "have an attribute changed", "changes of attributes", "change of an attribute"
    ),
    "product_view": EventWords("viewed a product", "view a product", "product views", "product view"),
    "product_return": EventWords("returned a product", "return a product", "returns", "return"),
    "purchase": EventWords("purchased", "purchase", "purchases", "purchase"),
    "cart_updated": EventWords("changed the cart", "change the cart", "changes of the cart", "change of the cart"),
    "add_to_cart": EventWords(
        "added to the cart", "add to the cart", "additions to the cart", "addition to the cart"
    ),
    "remove_from_cart": EventWords(
        "removed from the cart", "remove from the cart", "removals from the cart", "removal from the cart"
    ),
    "page_view": EventWords("viewed a page", "view a page", "page views", "page view"),
    "login": EventWords("logged in", "log in", "logins", "login"),
    "email_sent": EventWords("was sent an email", "get an email", "emails", "email"),
    "email_opened": EventWords("opened an email", "open an email", "opened emails", "opening of an email"),
    "email_clicked": EventWords("clicked in an email", "click in an email", "clicks in emails", "click in an email"),
    "email_bounced": EventWords("had an email bounce", "have an email bounce", "bounced emails", "bounced email"),
    "email_unsubscribed": EventWords("unsubscribed", "unsubscribe", "unsubscriptions", "unsubscription"),
    "ad_seen": EventWords("saw an ad", "see an ad", "ads seen", "ad seen"),
    "ad_clicked": EventWords("clicked an ad", "click an ad", "clicks on ads", "click on an ad"),
    "campaign_seen": EventWords("saw a campaign", "see a campaign", "campaigns seen", "campaign seen"),
    "campaign_clicked": EventWords(
        "clicked a campaign", "click a campaign", "clicks on campaigns", "click on a campaign"
    ),
    "campaign_dismissed": EventWords(
        "dismissed a campaign", "dismiss a campaign", "dismissed campaigns", "dismissal of a campaign"
    ),
    "campaign_held_out": EventWords(
        "was held out of a campaign", "fall out of a campaign", "campaigns held out", "campaign held out"
    ),
}
ANYTHING = EventWords("did anything", "do anything", "events", "event")


def unnamed(name: str) -> EventWords:
    """Return how an event is spoken of that nobody gave a display name."""
    return EventWords(f"did `{name}`", f"do `{name}`", f"`{name}` events", f"`{name}`")


def displayed(name: str, display_name: str) -> EventWords:
    """Return how an event is spoken of by its display name, which tells what somebody did: "Watched a film"."""
    past = display_name[:1].lower() + display_name[1:]
    return EventWords(past, "", f"`{name}` events", f"`{name}`")
