"""The tag that a marketer places on a page (pixels.md 3.2): what it says, in each form and each address.

No secret ever stands in a tag, and no name can break out of one.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal
from urllib.parse import quote

from django.db.models import TextChoices

from pixels.models import Pixel
from segments.models import Segment

# Stands where the page's own number belongs; a fire that still has it is refused and says so.
PLACEHOLDER = "[VALUE]"
# The same for an order: a fire that still has it is stored, and its order counts every time.
ORDER_PLACEHOLDER = "[ORDER_ID]"
_LONGEST_NAME = 80
_POLICY = "no-referrer-when-downgrade"  # so that the page's host and path arrive, which browsers else shorten


_SERVER_HINTS = (
    "For servers: put a server key (Settings › Write keys) into MUSTER_SERVER_KEY. It never belongs into a page.",
    "Write your customer's id for C-1001, or name another kind of identifier: email, phone, device.",
    "Give each fire an “id” of yours: one that is sent twice is done once.",
)
_SCRIPT_SENT_ON = "The browser takes what it is sent on to for a script: where that is a picture, choose the image."


class Format(TextChoices):
    SCRIPT = "script", "JavaScript"
    IMAGE = "image", "Image"
    SERVER = "server", "Server (curl)"


class Address(TextChoices):
    PIXEL = "pixel", "The pixel's own address"
    NUMBER = "number", "/seg by number"
    CODE = "code", "/seg by code"


@dataclass(frozen=True)
class Action:
    """One thing that a tag does."""

    do: Literal["add", "remove"]
    number: int
    code: str
    value: int | None = None
    lifetime_minutes: int | None = None


@dataclass(frozen=True)
class Subject:
    """What a tag is for: a pixel, or segments that somebody ticked (then `key` is empty)."""

    name: str
    member: int
    actions: tuple[Action, ...]
    key: str = ""
    takes_value: bool = False
    # Of a pixel that records an event: its number, by which `/px` calls it.
    recorder: int | None = None


@dataclass(frozen=True)
class Tag:
    """A tag as it is shown, copied and mailed: the HTML, and the bare address for tools that ask for a URL.

    For a server it is a command of a shell.
    """

    html: str
    url: str
    # What the marketer has to know about this very tag.
    hints: tuple[str, ...] = ()
    is_for_server: bool = False


def of_pixel(pixel: Pixel) -> Subject:
    """Return what a tag of this pixel says."""
    rows = pixel.actions.filter(segment__deleted_at=None).select_related("segment")
    has_values = pixel.value_source != Pixel.ValueSource.NONE
    actions = tuple(
        Action(
            "remove" if row.do == row.Do.REMOVE else "add",
            row.segment.pk,
            row.segment.code,
            row.value if has_values else None,
            row.lifetime_minutes,
        )
        for row in rows.order_by("do", "pk")
    )
    takes_value = pixel.value_source == Pixel.ValueSource.PAGE
    recorder = pixel.pk if pixel.event_name else None
    return Subject(pixel.name, pixel.advertiser_id, actions, pixel.public_key, takes_value, recorder)


def of_segments(segments: Sequence[Segment]) -> Subject:
    """Return what a tag says that adds to each of these segments, without a pixel."""
    actions = tuple(Action("add", segment.pk, segment.code) for segment in segments)
    name = ", ".join(segment.name for segment in segments)
    return Subject(name, segments[0].advertiser_id, actions)


def addresses_of(subject: Subject) -> list[tuple[str, str]]:
    """Return the addresses that a tag may have, with their labels."""
    return [
        (value, label if subject.recorder is None else label.replace("/seg", "/px"))
        for value, label in Address.choices
        if subject.key or value != Address.PIXEL
    ]


def make_tag(subject: Subject, host: str, form: Format, address: Address, redirect: str = "") -> Tag:
    """Return the tag. `host` is the pixel host's address, such as https://px.example.com.

    `redirect` has passed `pixels.redirects`: there a browser goes after the fire.
    """
    if form is Format.SERVER:
        return _server_call(subject, host, address)
    url = _pixel_url(subject, host, form) if address is Address.PIXEL and subject.key else ""
    url = _sent_on(url or _call_url(subject, host, form, by_code=address is Address.CODE), redirect)
    shown = escape(url, quote=True)
    if form is Format.SCRIPT:
        html = f'<script async src="{shown}" referrerpolicy="{_POLICY}"></script>'
    else:
        html = f'<img src="{shown}" width="1" height="1" alt="" style="position:absolute" referrerpolicy="{_POLICY}">'
    is_own = address is Address.PIXEL and bool(subject.key)
    hints = _hints(subject, form, is_own=is_own)
    if redirect and form is Format.SCRIPT:
        hints = (_SCRIPT_SENT_ON, *hints)
    return Tag(_comment(subject) + html, url, hints)


def _sent_on(url: str, redirect: str) -> str:
    if not redirect:
        return url
    return f"{url}{'&' if '?' in url else '?'}redir={quote(redirect, safe='')}"


def _server_call(subject: Subject, host: str, address: Address) -> Tag:
    """Return a command that fires from a server (pixels.md 1.12). The key is the shell's own, never in the text."""
    # Only through its pixel does a fire record an event.
    is_own = bool(subject.key) and (address is Address.PIXEL or subject.recorder is not None)
    fire: dict[str, Any] = {"pixel": subject.key}
    if not is_own:
        fire = {do: _server_items(subject, do, by_code=address is Address.CODE) for do in ("add", "remove")}
    fire["identifier"] = {"kind": "customer_id", "value": "C-1001"}
    if is_own and subject.recorder is not None:
        fire |= {"order_id": "A-1001", "value": 59.9}
    elif subject.takes_value:
        fire["value"] = 65
    body = json.dumps({"fires": [{name: said for name, said in fire.items() if said}]}, separators=(",", ":"))
    url = f"{host}/v1/fires"
    command = f"curl -u \"$MUSTER_SERVER_KEY:\" -H 'Content-Type: application/json' -d '{body}' {url}"
    return Tag(command, url, _SERVER_HINTS, is_for_server=True)


def _server_items(subject: Subject, do: str, *, by_code: bool) -> list[dict[str, Any]]:
    items = []
    for action in subject.actions:
        if action.do == do:
            item: dict[str, Any] = {"segment": action.code if by_code else action.number}
            if action.value is not None:
                item["value"] = action.value
            if action.lifetime_minutes is not None:
                item["keep"] = _lifetime(action.lifetime_minutes)
            items.append(item)
    return items


def _pixel_url(subject: Subject, host: str, form: Format) -> str:
    ending = "js" if form is Format.SCRIPT else "gif"
    query = f"value={PLACEHOLDER}" if subject.takes_value else _order_query(subject)
    return f"{host}/p/{subject.key}.{ending}" + (f"?{query}" if query else "")


def _order_query(subject: Subject) -> str:
    return "" if subject.recorder is None else f"order_id={ORDER_PLACEHOLDER}&value={PLACEHOLDER}"


def _call_url(subject: Subject, host: str, form: Format, *, by_code: bool) -> str:
    """Return an address that says what is done: of `/seg`, or of `/px` where the pixel records an event."""
    adds = [_item(action, by_code, subject.takes_value) for action in subject.actions if action.do == "add"]
    removes = [_name(action, by_code) for action in subject.actions if action.do == "remove"]
    ending = "_code" if by_code else ""
    adding = "add" if subject.recorder is None else "seg"
    parameters = [
        ("id", str(subject.recorder or "")),
        (f"{adding}{ending}", ",".join(adds)),
        (f"remove{ending}", ",".join(removes)),
        ("member", str(subject.member) if by_code else ""),
        ("t", "1" if form is Format.SCRIPT else "2"),
        ("pid", subject.key if subject.recorder is None else ""),
    ]
    said = [f"{name}={value}" for name, value in parameters if value]
    if subject.recorder is None:
        return f"{host}/seg?" + "&".join(said)
    return f"{host}/px?" + "&".join([*said, _order_query(subject)])


def _item(action: Action, by_code: bool, takes_value: bool) -> str:
    value = "" if action.value is None else str(action.value)
    if takes_value and not value:
        value = PLACEHOLDER
    lifetime = _lifetime(action.lifetime_minutes)
    parts = [_name(action, by_code), value, lifetime]
    while not parts[-1]:
        parts.pop()
    return ":".join(parts)


def _name(action: Action, by_code: bool) -> str:
    return quote(action.code, safe="") if by_code else str(action.number)


def _lifetime(minutes: int | None) -> str:
    if minutes is None:
        return ""
    for size, unit in ((24 * 60, "d"), (60, "h")):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


def _comment(subject: Subject) -> str:
    adds = " ".join(action.code for action in subject.actions if action.do == "add")
    removes = " ".join(action.code for action in subject.actions if action.do == "remove")
    does = "; ".join(
        text for text in (f"adds: {adds}" if adds else "", f"removes: {removes}" if removes else "") if text
    )
    kind = "Muster pixel" if subject.key else "Muster segments"
    return f'<!-- {kind} "{_harmless(subject.name)}"{f" ({_harmless(does)})" if does else ""} -->'


def _harmless(text: str) -> str:
    """Return a name without what could end the comment."""
    plain = re.sub(r"[<>]|[\x00-\x1f]", "", text)
    while "--" in plain:
        plain = plain.replace("--", "-")
    return plain[:_LONGEST_NAME].strip("-")


def _hints(subject: Subject, form: Format, *, is_own: bool) -> tuple[str, ...]:
    hints = []
    if is_own:
        hints.append("What it does is kept in Muster: edit the pixel, and the tags that are placed follow.")
    else:
        hints.append("What it does stands in the tag itself: after a change, get the tag again and place it anew.")
    if subject.recorder is not None:
        hints.append(
            f"Replace {ORDER_PLACEHOLDER} with the order's number, which counts once in 90 days, and {PLACEHOLDER} "
            "with its total, such as 59.90. An event that is no order needs neither."
        )
    elif not subject.actions:
        hints.append("This pixel adds to no segment and removes from none yet: its fires do nothing.")
    if subject.takes_value:
        hints.append(f"Replace {PLACEHOLDER} with the page's number, for example the total of the cart.")
    if form is Format.SCRIPT:
        hints.append(
            "Place it in the <head> of the page. Pages with a content policy need the pixel host in script-src."
        )
    else:
        hints.append("Place it before </body>. Pages with a content policy need the pixel host in img-src.")
    return tuple(hints)
