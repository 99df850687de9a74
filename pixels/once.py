"""What a fire names is done once: a server's fire by its id, an order by its pixel. Steps of a batch."""

from collections.abc import Sequence

from audience.identity import locate
from audience.repeats import are_new, remember
from audience.talk import Talk
from pixels.conversions import without_event
from pixels.orders import order_key, remember_orders
from pixels.reasons import Note, Outcome, Reason
from pixels.stored import Stored


def drop_of_servers(entries: Sequence[Stored]) -> Talk[None]:
    """Refuse fires of servers for browsers that nobody knows, and mark those whose id is done already."""
    sent = [
        (entry, server)
        for entry in entries
        if (server := entry.fire.server) is not None and entry.outcome is Outcome.APPLIED
    ]
    doubtful = {entry.fire.browser for entry, server in sent if server.must_be_known}
    known = yield from locate([key for key in doubtful if key is not None])
    for entry, server in sent:
        if server.must_be_known and entry.fire.browser not in known:
            entry.outcome, entry.reason = Outcome.REJECTED, Reason.NO_COOKIE
    named = [
        (entry, server.once, entry.fire.received_at)
        for entry, server in sent
        if server.once is not None and entry.outcome is Outcome.APPLIED
    ]
    if not named:
        return
    told = [(once, at) for _, once, at in named]
    (remembered,) = yield [remember(told)]
    for (entry, _, _), is_new in zip(named, are_new(told, remembered), strict=True):
        if not is_new:
            entry.outcome = Outcome.DUPLICATE


def drop_repeated_orders(entries: Sequence[Stored]) -> Talk[None]:
    """Take the event from fires whose order their pixel has recorded already: what else they do is done."""
    marked = [
        (entry, conversion)
        for entry in entries
        if (conversion := entry.fire.conversion) is not None
        and conversion.order_id
        and entry.outcome is Outcome.APPLIED
    ]
    orders = [(order_key(one.fire.pixel_id, told.order_id), one.fire.received_at) for one, told in marked]
    for (entry, _), is_new in zip(marked, (yield from remember_orders(orders)), strict=True):
        if not is_new:
            entry.fire = without_event(entry.fire)
            entry.notes += (Note.DUPLICATE_ORDER,)
