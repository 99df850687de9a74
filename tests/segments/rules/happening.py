"""Events, their visits and their filters, and which chains of events complete a sequence (rules.md 1.4 and 2.7)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from segments.rules import tree
from segments.rules.money import is_money
from segments.rules.values import Name
from segments.rules.windows import Duration
from tests.segments.rules.facts import Event, Person, World
from tests.segments.rules.spans import Clock
from tests.segments.rules.valuing import key_of, number_of, passes, scalars_at, text_of, value_at

DERIVED = (tree.VISIT, tree.ATTRIBUTE_CHANGED)


@dataclass(frozen=True)
class Happened:
    """An event in its visit: `visit` is the visit's start with its person, None where it is in none."""

    name: str
    order: tuple[datetime, datetime, UUID]
    properties: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    visit: tuple[UUID, datetime] | None = None
    visit_end: datetime | None = None
    # The same properties with amounts of money in the advertiser's currency, None where they are in another one.
    amounts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def at(self) -> datetime:
        return self.order[0]

    def values(self, name: Name, clock: Clock) -> list[Any]:
        if name == (tree.DAY,):
            return [clock.day(self.at).isoformat()]
        if name == (tree.VISIT,):
            return [] if self.visit is None else [f"{self.visit[0]} {self.visit[1].isoformat()}"]
        return scalars_at(self.properties, name)

    def numbers(self, name: Name, clock: Clock) -> list[Any]:
        return scalars_at(self.amounts, name) if is_money(name) else self.values(name, clock)


def happened(person: Person, world: World) -> list[Happened]:
    """Return the events of a person and the visits that follow from them."""
    found = []
    runs = visits(person, world)
    for event in once(person.events):
        run = next((run for run in runs if event in run[2]), None)
        visit = (person.id, run[0]) if run else None
        found.append(
            Happened(
                *(event.name, event.order, event.properties, event.context, visit, run[1] if run else None),
                amounts=in_currency(event.properties, world.currency),
            )
        )
    return found + [_visit(person, *run) for run in runs]


def in_currency(properties: Mapping[str, Any], currency: str) -> Mapping[str, Any]:
    """Return properties, of an event or of a record of a list, with all amounts in a currency."""
    if not isinstance(properties, Mapping):
        return properties
    said, rate = text_of(properties.get("currency")), number_of(properties.get("exchange_rate"))
    if said is None or said.upper() == currency:
        return properties

    def amount(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [amount(one) for one in value]
        number = number_of(value)
        return None if number is None or rate is None or rate <= 0 else Decimal(number) * Decimal(rate)

    def convert(value: Any, is_amount: bool) -> Any:
        if isinstance(value, Mapping):
            return {name: convert(one, is_money((name,))) for name, one in value.items()}
        if is_amount:
            return amount(value)
        return [convert(one, False) for one in value] if isinstance(value, list | tuple) else value

    converted: Mapping[str, Any] = convert(properties, False)
    return converted


def once(events: Sequence[Event]) -> list[Event]:
    """Return the events without those that came again under the same id."""
    return list({event.id: event for event in reversed(events)}.values())


def _visit(person: Person, start: datetime, end: datetime, events: Sequence[Event]) -> Happened:
    pages = [url for event in events if (url := value_at(event.context, ("page", "url"))) is not None]
    properties = {
        "seconds": int((events[-1].occurred_at - start).total_seconds()),
        "pages": len(pages),
        **({"landing_page": pages[0], "exit_page": pages[-1]} if pages else {}),
    }
    return Happened(tree.VISIT, events[0].order, properties, events[0].context, (person.id, start), end)


def visits(person: Person, world: World) -> list[tuple[datetime, datetime, list[Event]]]:
    """Return each visit's start, its end 30 minutes after its last event, and its events. Servers visit nothing."""
    runs: list[list[Event]] = []
    for event in sorted(once(person.events), key=lambda event: event.order):
        if event.name in DERIVED or value_at(event.context, ("channel",)) == "server":
            continue
        if runs and event.occurred_at - runs[-1][-1].occurred_at < world.visit_gap:
            runs[-1].append(event)
        else:
            runs.append([event])
    return [(run[0].occurred_at, run[-1].occurred_at + world.visit_gap, run) for run in runs]


def visit_at(person: Person, at: datetime, world: World) -> tuple[datetime, datetime] | None:
    return next(((start, end) for start, end, _ in visits(person, world) if start <= at < end), None)


def visit_end_at(person: Person, at: datetime, world: World) -> datetime | None:
    visit = visit_at(person, at, world)
    return visit[1] if visit else None


def matching(events: tree.Events, found: Sequence[Happened], t: datetime, clock: Clock) -> list[Happened]:
    """Return the events that a condition is about, oldest first; a filter with a date test is asked at `t`."""
    return [one for one in found if matches(events, one, t, clock)]


def matches(events: tree.Events, one: Happened, t: datetime, clock: Clock) -> bool:
    is_named = one.name not in DERIVED if events.names == tree.ANY_EVENT else one.name in events.names
    return is_named and all(
        filter_passes(node, one.properties, one.context, t, clock, one.amounts) for node in events.where
    )


def filter_passes(
    node: tree.Filter,
    properties: Mapping[str, Any],
    context: Mapping[str, Any],
    t: datetime,
    clock: Clock,
    amounts: Mapping[str, Any] | None = None,
) -> bool:
    match node:
        case tree.AllOf(children):
            return all(filter_passes(child, properties, context, t, clock, amounts) for child in children)
        case tree.AnyOf(children):
            return any(filter_passes(child, properties, context, t, clock, amounts) for child in children)
        case tree.Not(child):
            return not filter_passes(child, properties, context, t, clock, amounts)
        case tree.PropertyFilter(name, test):
            is_amount = amounts is not None and test.reads == "number" and is_money(name)
            return passes(test, value_at(amounts if is_amount else properties, name), t, clock)
        case tree.ContextFilter(name, test):
            return passes(test, value_at(context, name), t, clock)
    raise AssertionError(node)


# Sequences: every chain is tried.


def completions(
    node: tree.SequenceCondition, found: Sequence[Happened], t: datetime, clock: Clock
) -> Iterator[tuple[datetime, datetime | None]]:
    """Yield when each chain completes, and the end of the visit in which it does."""
    steps = [
        (
            step,
            matching(step.events, found, t, clock),
            matching(step.without, found, t, clock) if step.without else [],
        )
        for step in node.steps
    ]
    first, starts, _ = steps[0]
    for start in starts[-1:] if first.is_newest else starts:
        if _are_same(node, start, start):
            yield from _complete(node, steps[1:], [start])


def _complete(
    node: tree.SequenceCondition,
    steps: Sequence[tuple[tree.Step, Sequence[Happened], Sequence[Happened]]],
    chain: list[Happened],
) -> Iterator[tuple[datetime, datetime | None]]:
    if not steps:
        yield chain[-1].at, chain[-1].visit_end
        return
    (step, passing, unwanted), *later = steps
    before = chain[-1]
    nexts = [one for one in passing if one.order > before.order and _are_same(node, chain[0], one)]
    if step.is_absent:
        yield from _absent(node, step, chain, nexts)
        return
    for one in nexts:
        is_soon = step.within is None or one.at < before.at + _delta(step.within)
        is_in_all = node.within is None or one.at < chain[0].at + _delta(node.within)
        is_disturbed = any(before.order < between.order < one.order for between in unwanted)
        if is_soon and is_in_all and not is_disturbed:
            yield from _complete(node, later, [*chain, one])


def _absent(
    node: tree.SequenceCondition, step: tree.Step, chain: list[Happened], nexts: Sequence[Happened]
) -> Iterator[tuple[datetime, datetime | None]]:
    before = chain[-1]
    if step.within is None:
        if not nexts:
            yield before.at, before.visit_end
        return
    completed = before.at + _delta(step.within)
    is_in_all = node.within is None or completed < chain[0].at + _delta(node.within)
    if is_in_all and not any(one.at < completed for one in nexts):
        yield completed, before.visit_end


def _are_same(node: tree.SequenceCondition, one: Happened, other: Happened) -> bool:
    """Say whether two events have the same known value of each shared property, and are of one visit if asked."""
    if node.is_same_visit and (one.visit is None or one.visit != other.visit):
        return False
    keys = [(key_of(value_at(one.properties, name)), key_of(value_at(other.properties, name))) for name in node.same]
    return all(key is not None and key == other_key for key, other_key in keys)


def _delta(length: Duration) -> timedelta:
    return timedelta(microseconds=length.microseconds)
