"""An advertiser with rule segments, to whom facts come as they come to a door."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from audience.columns import batch_cursor
from audience.identity import Key
from audience.instants import instant
from audience.messages import Message
from audience.recording import Recorded, record
from audience.talk import speak
from audience.tenancy import acting_for
from segments import rulebook
from segments.building import build
from segments.membership import holds
from segments.models import AccountTransition, RuleVersion, Segment, Transition
from segments.rules.tree import Of
from segments.sweeper import sweep
from segments.tables import MEMBERSHIPS, of_segment
from segments.versions import save_rule
from tests.factories import make_advertiser, make_segment
from tests.segments.rules.asking import rule_text
from tests.segments.rules.facts import at
from tests.segments.rules.stored import as_json

LIVE = "04-01"  # when segments begin, unless a test says otherwise


class Shop:
    """One advertiser. People are named by a letter; times are written as in the worked cases."""

    def __init__(self, **fields: Any) -> None:
        self.advertiser = make_advertiser(**{"time_zone": "Europe/Berlin", **fields})
        self._numbers = iter(range(1, 1_000_000))

    def segment(self, code: str, node: Any, live: str = LIVE, of: Of = "profile") -> Segment:
        """Make a segment by a rule that is built and serves."""
        segment = make_segment(self.advertiser, code=code, kind=Segment.Kind.RULE)
        self.edit(segment, rule_text(node, of=of), live)
        return segment

    def edit(self, segment: Segment, node: Any, live: str | None = None) -> RuleVersion:
        """Save a rule; with `live` it is built, and serves from then on."""
        text = node if isinstance(node, str) else rule_text(node)
        version = save_rule(segment, text, at=at(live or LIVE))
        rulebook.refresh()
        if live is not None:
            self.build(live)
        segment.refresh_from_db()
        return version

    def build(self, when: str) -> None:
        build(now=at(when))
        rulebook.refresh()

    def message(self, who: str, event: str, when: str, arrives: str | None = None, **told: Any) -> Message:
        number = next(self._numbers)
        received = instant(at(arrives or when))
        known = {name: as_json(told.pop(name, {})) for name in ("context", "traits")}
        return Message(
            id=told.pop("id", UUID(int=number).bytes),
            kind="track" if event else "identify",
            advertiser_id=self.advertiser.pk,
            received_at=received,
            occurred_at=min(instant(at(when)), received),
            own=self.key(who),
            proven=tuple(self.key(one) for one in told.pop("proven", ())),
            event=event,
            account=told.pop("account", ""),
            properties=as_json(told),
            **known,
        )

    def key(self, text: str) -> Key:
        kind, _, value = text.rpartition(":")
        return Key(self.advertiser.pk, kind or "browser", value)

    def send(self, *messages: Message) -> list[Recorded]:
        """Record a batch."""
        with transaction.atomic(), batch_cursor(connection.connection) as cursor:
            return speak(cursor, record(messages))

    def track(self, who: str, event: str, when: str, arrives: str | None = None, **told: Any) -> Recorded:
        return self.send(self.message(who, event, when, arrives, **told))[0]

    def views(self, who: str, *times: str) -> None:
        for when in times:
            self.track(who, "view", when)

    def members(self, segment: Segment, when: datetime | str) -> int:
        moment = at(when) if isinstance(when, str) else when
        with acting_for(self.advertiser.pk):
            return MEMBERSHIPS[of_segment(segment)].objects.filter(holds(moment), segment=segment).count()

    def steps(self, segment: Segment) -> list[tuple[str, datetime, str]]:
        """Return the segment's transitions in their order."""
        model = AccountTransition if segment.of == Segment.Of.ACCOUNT else Transition
        rows = model.all_advertisers.filter(segment=segment).order_by("at", "-change")
        return [(row.change, row.at, row.cause) for row in rows]


def steps(text: str) -> list[tuple[str, datetime, str]]:
    """Return the transitions of "join 05-01 10:00 fact, leave 05-08 10:00 time"."""
    found = []
    for part in text.split(", ") if text else []:
        change, *when, cause = part.split(" ")
        found.append((change, at(" ".join(when)), cause))
    return found


def sweep_at(when: str) -> None:
    sweep(at(when))
