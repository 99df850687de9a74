"""The event that a fire records (pixels.md 1.8): what the tag says of it, and what surrounds it."""

import json
import re
from collections.abc import Mapping

from audience.context.page import Page
from audience.context.place import Places
from audience.context.reading import Keeping, Seen, context_of
from pixels.catalogue import KnownAdvertiser
from pixels.facts import Conversion, Fire
from pixels.parsing import LONGEST_OTHER, is_placeholder
from pixels.reasons import Note

DEFAULT_NAME = "conversion"
LONGEST_ORDER_ID = 64
_REVENUE = re.compile(r"0*([0-9]{1,12}(?:\.[0-9]{1,4})?)")


def read(name: str, values: Mapping[str, str]) -> tuple[Conversion, tuple[Note, ...]]:
    """Return the event of a tag, still without its context, and what is to be noted.

    An order id that is no good is left out, never cut: two orders could become one.
    """
    order_id, told, notes = values.get("order_id", ""), values.get("value", ""), []
    if is_placeholder(order_id):
        order_id = ""
        notes.append(Note.PLACEHOLDER_LEFT)
    elif len(order_id) > LONGEST_ORDER_ID:
        order_id = ""
        notes.append(Note.PARAMETER_IGNORED)
    revenue = _REVENUE.fullmatch(told)
    if told and revenue is None:
        notes.append(Note.BAD_REVENUE)
    properties = _properties(order_id, revenue[1] if revenue else "", values.get("other", "")[:LONGEST_OTHER])
    return Conversion(name, order_id, properties), tuple(notes)


def surround(conversion: Conversion, seen: Seen, page: Page, owner: KnownAdvertiser, places: Places) -> Conversion:
    """Return an event with the context that its request shows; `page` is where the fire says that it was."""
    context = context_of(None, seen, Keeping(is_own=owner.hosts.allow), places=places)
    if page.path:
        context["page"] = {**context.get("page", {}), "path": page.path}
    return conversion._replace(context=json.dumps(context))


def show(conversion: Conversion, actions: str) -> str:
    """Return a fire's actions, JSON for the live view, with the event before them."""
    value = json.loads(conversion.properties).get("value")
    return json.dumps([{"do": "record", "event": conversion.name, "value": value}, *json.loads(actions)])


def without_event(fire: Fire) -> Fire:
    """Return a fire that does the same and records nothing."""
    return fire._replace(conversion=None, actions=json.dumps(json.loads(fire.actions)[1:]))


def _properties(order_id: str, revenue: str, other: str) -> str:
    """Return JSON. The revenue stands in it as the tag wrote it: a binary fraction would lose what it says."""
    texts = {"order_id": order_id, "other": other}
    fields = [f'"{name}": {json.dumps(text)}' for name, text in texts.items() if text]
    return "{" + ", ".join([*fields, *([f'"value": {revenue}'] if revenue else [])]) + "}"
