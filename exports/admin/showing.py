"""How runs, sizes and spans of time are written for people, and who a person is in a record."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.html import format_html

from exports.models import Destination, Run
from exports.reasons import sentence

_UNITS = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))
_TONES: dict[str, str] = {
    Run.State.DELIVERED: "delivered",
    Run.State.FAILED: "failed",
    Run.State.WAITING: "late",
    Run.State.QUEUED: "working",
    Run.State.WRITING: "working",
    Run.State.WRITTEN: "working",
    Run.State.SENDING: "working",
    Destination.State.READY: "delivered",
    Destination.State.PAUSED: "late",
}
_NAME_LENGTH = 150


def person_at(request: HttpRequest) -> str:
    """Return the name under which a record says who it was."""
    user = request.user
    if not isinstance(user, User):
        return ""
    return (user.get_full_name() or user.email or user.get_username())[:_NAME_LENGTH]


def in_bytes(count: int | float) -> str:
    """Return 8,388,608 as “8.4 MB”."""
    for size, unit in _UNITS:
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,.0f} bytes"


def in_time(seconds: float) -> str:
    """Return 75 as “1 min 15 s”."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def state_badge(state: str, label: str) -> str:
    """Return a state as the coloured badge of the lists."""
    return format_html('<span class="m-state m-state--{}">{}</span>', _TONES.get(state, "idle"), label)


def tone_of(state: str) -> str:
    """Return the colour of a state, for templates."""
    return _TONES.get(state, "idle")


def zone_of(name: str) -> ZoneInfo:
    """Return a zone; an older row may name one that is known no more."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def moment(at: datetime, zone: ZoneInfo) -> str:
    """Return an instant by a zone's clock, with the weekday."""
    return f"{at.astimezone(zone):%a %-d %b %Y, %H:%M}"


@dataclass(frozen=True)
class FunnelLine:
    """One line of the table that says where the people went."""

    label: str
    count: int
    # A loss is taken away from the line before.
    is_loss: bool = False
    note: str = ""


_LOSSES = (
    ("no_identifier", "Left out: a required identifier is missing"),
    ("encoding", "Left out: an identifier cannot be written in this encoding"),
)


def funnel_of(run: Run) -> list[FunnelLine]:
    """Return how many were in, who was left out and why, and how many were delivered."""
    counts = {name: count for name, count in run.funnel.items() if isinstance(count, int)}
    if "members" not in counts:
        return []
    lines = [FunnelLine("In the segments", counts["members"])]
    lines += [FunnelLine(label, counts.get(name, 0), is_loss=True) for name, label in _LOSSES if counts.get(name)]
    replaced = counts.get("replaced_values", 0)
    note = f"In {replaced:,} cells a “?” stands for what the encoding lacks." if replaced else ""
    lines.append(FunnelLine("Written to the files", counts.get("written", 0), note=note))
    if run.state == Run.State.DELIVERED:
        lines.append(FunnelLine("Delivered", counts.get("written", 0)))
    return lines


def paused_because(destination: Destination) -> str:
    """Return why a destination is paused, as a sentence."""
    if destination.state != Destination.State.PAUSED:
        return ""
    if destination.paused_reason == "person":
        return "Somebody pressed Pause. Due runs are skipped and caught up after Resume."
    return sentence(destination.paused_reason, facts_of(destination))


def facts_of(destination: Destination) -> dict[str, Any]:
    """Return what the sentences of reasons can say about a destination."""
    facts = {"host": destination.host, "user": destination.username, "folder": destination.path}
    return {name: value for name, value in facts.items() if value}


def span(began: datetime | None, ended: datetime | None) -> str:
    """Return how long something took, to the millisecond while it is short."""
    if began is None or ended is None:
        return ""
    took = ended - began
    if took < timedelta(seconds=10):
        return f"{took / timedelta(milliseconds=1):,.0f} ms"
    return in_time(took.total_seconds())
