"""Values that a condition reads as numbers and that are none, so that they are unknown (rules.md 2.6).

No timeline needs them: they are asked about where the author of a rule is told how many there are. Of events and of
records those count that pass everything else that the condition asks of them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

from segments.rules.compiling import asking, events
from segments.rules.compiling.events import Pool
from segments.rules.compiling.filters import Record, currency_of, event_of, item_of, number_at, value_at, value_of
from segments.rules.compiling.known import (
    CART,
    CART_AMOUNT,
    CART_FACTORS,
    attribute_value,
    items_spans,
    of_list,
)
from segments.rules.compiling.others import accounts_of, people_of
from segments.rules.compiling.scene import Scene
from segments.rules.compiling.situations import field_value, seen_where
from segments.rules.compiling.sql import AS_OF_SQL, FALSE, Sql, join, sql
from segments.rules.tree import (
    AccountCondition,
    AllOf,
    AnyOf,
    AttributeCondition,
    ChangeCondition,
    ContextFilter,
    EventCondition,
    Events,
    FavouriteCondition,
    Filter,
    ItemsCondition,
    Node,
    Not,
    PeopleCondition,
    PropertyFilter,
    SequenceCondition,
    SituationCondition,
)
from segments.rules.values import EACH, Amount, Name, ValueTest
from segments.rules.windows import EVER


class ReadAsNumber(NamedTuple):
    """What a condition reads as numbers: the values of a name, of amounts those in a currency."""

    name: Name
    currency: str | None = None


Claims: TypeAlias = Iterator[tuple[ReadAsNumber, Sql]]


def unread(node: Node, scene: Scene) -> Mapping[ReadAsNumber, Sql]:
    """Return for all that a condition reads as numbers whether a value cannot be read at the moment of asking."""
    claims: defaultdict[ReadAsNumber, list[Sql]] = defaultdict(list)
    for read, claim in _claims(node, scene):
        claims[read].append(claim)
    return {read: sql("({any})", any=join(" OR ", found)) for read, found in claims.items()}


def _is_no_number(said: Sql, read: Sql) -> Sql:
    """Return whether one value is known and no number; `read` is NULL where it is an amount in another currency."""
    return sql(
        "(segments_is_known({said}) AND (segments_number({said}) IS NULL OR {read} IS NULL))", said=said, read=read
    )


def _is_one_no_number(said: Sql, read: Sql, elements: Sql) -> Sql:
    """Return whether one of the elements of a value is no number; they are of `x.said`."""
    return sql(
        "EXISTS (SELECT FROM (SELECT {said} AS said, {read} AS read OFFSET 0) x CROSS JOIN LATERAL {elements} l(v)"
        " WHERE {claim})",
        said=said,
        read=read,
        elements=elements,
        claim=_is_no_number(Sql("l.v"), Sql("x.read")),
    )


def is_no_amount(said: Sql, read: Sql, name: Name) -> Sql:
    """Return whether a value that is added up, or compared with others, is no number; a whole list is none."""
    elements = asking.elements("x.said") if EACH in name else Sql("(SELECT x.said)")
    return _is_one_no_number(said, read, elements)


def _of_test(said: Sql, read: Sql, test: ValueTest) -> Sql:
    """Return whether a value that is tested is no number; of a list the elements are tested that the test picks."""
    elements = asking.elements("x.said")
    if test.pick in ("first", "last"):
        place = "0" if test.pick == "first" else "-1"
        elements = Sql(f"(SELECT CASE jsonb_typeof(x.said) WHEN 'array' THEN x.said -> {place} ELSE x.said END)")
    return _is_one_no_number(said, read, elements)


def _reads_a_number(test: ValueTest) -> bool:
    return test.reads == "number" and test.operator != "known"


def _claims(node: Node, scene: Scene) -> Claims:
    of_condition = _CONDITIONS.get(type(node))
    return of_condition(node, scene) if of_condition else iter(())


def _group(node: AllOf[Node] | AnyOf[Node], scene: Scene) -> Claims:
    for child in node.children:
        yield from _claims(child, scene)


# Events.


def _events(node: EventCondition, scene: Scene) -> Claims:
    found = events.pool(scene, node.events, node.zone, node.window)
    yield from _of_filters(found)
    if isinstance(node.aggregate, Amount):
        yield _of_events(found, node.aggregate.of)


def _of_events(found: Pool, name: Name) -> tuple[ReadAsNumber, Sql]:
    said, read = events.event_value(found, name), events.event_number(found, name)
    currency = currency_of(event_of(found.scene), name)
    return ReadAsNumber(name, currency), _is_any(found, is_no_amount(said, read, name))


def _is_any(found: Pool, claim: Sql) -> Sql:
    """Return whether a claim is true of one of the events that count."""
    rows = events.spans(found, [("claim", claim)])
    return sql("EXISTS (SELECT FROM ({rows}) q WHERE q.r @> {as_of} AND q.claim)", rows=rows, as_of=AS_OF_SQL)


def _of_filters(found: Pool) -> Claims:
    for filter_, others in _each_with_others(found.events.where):
        rest = found._replace(events=replace(found.events, where=others))
        for read, claim in _of_filter(filter_, event_of(found.scene)):
            yield read, _is_any(rest, claim)


def _each_with_others(where: tuple[Filter, ...]) -> Iterable[tuple[Filter, tuple[Filter, ...]]]:
    return [(one, where[:place] + where[place + 1 :]) for place, one in enumerate(where)]


def _of_filter(one: Filter, record: Record) -> Claims:
    match one:
        case AllOf(children=children) | AnyOf(children=children):
            for child in children:
                yield from _of_filter(child, record)
        case Not(child=child):
            yield from _of_filter(child, record)
        case PropertyFilter(property=name, test=test) if _reads_a_number(test):
            read = ReadAsNumber(name, currency_of(record, name))
            yield read, _of_test(value_at(record, name), value_of(one, record), test)
        case ContextFilter(field=name, test=test) if _reads_a_number(test):
            value = value_of(one, record)
            yield ReadAsNumber(name), _of_test(value, value, test)


def _sequence(node: SequenceCondition, scene: Scene) -> Claims:
    # When a step counts follows from the others: every event that may be one is asked about.
    for step in node.steps:
        for asked in (step.events, step.without):
            if isinstance(asked, Events):
                yield from _of_filters(events.pool(scene, asked, node.zone, EVER))


def _change(node: ChangeCondition, scene: Scene) -> Claims:
    for window in (node.before, node.to):
        found = events.pool(scene, node.events, node.zone, window)
        yield from _of_filters(found)
        if node.sum is not None:
            yield _of_events(found, node.sum)


def _favourite(node: FavouriteCondition, scene: Scene) -> Claims:
    found = events.pool(scene, node.events, node.zone, node.window)
    yield from _of_filters(found)
    if node.sum is not None:
        yield _of_events(found, node.sum)


# What is known.


def _attribute(node: AttributeCondition, scene: Scene) -> Claims:
    if _reads_a_number(node.test):
        value = attribute_value(node.attribute, scene)
        yield ReadAsNumber(node.attribute), _of_test(value, value, node.test)


def _items(node: ItemsCondition, scene: Scene) -> Claims:
    def is_any(where: tuple[Filter, ...], claim: Sql) -> Sql:
        rows = items_spans(replace(node, where=where), scene, claim)
        found = sql("EXISTS (SELECT FROM ({rows}) q WHERE q.r @> {as_of} AND q.v)", rows=rows, as_of=AS_OF_SQL)
        return of_list(node, scene, found, FALSE)

    item = item_of(scene)
    for filter_, others in _each_with_others(node.where):
        for read, claim in _of_filter(filter_, item):
            yield read, is_any(others, claim)
    if isinstance(node.aggregate, Amount):
        name = node.aggregate.of
        said = value_at(item, name)
        no_amount = is_no_amount(said, number_at(item, name), name)
        yield ReadAsNumber(name, currency_of(item, name)), is_any(node.where, no_amount)
        if node.items == CART and name == CART_AMOUNT:
            # A line that does not say its amount is unknown because of one of its factors.
            for factor in CART_FACTORS:
                of_line = value_at(item, factor)
                no_number = is_no_amount(of_line, of_line, factor)
                is_missing = sql("(NOT segments_is_known({said}) AND {claim})", said=said, claim=no_number)
                yield ReadAsNumber(factor), is_any(node.where, is_missing)


def _situation(node: SituationCondition, scene: Scene) -> Claims:
    if _reads_a_number(node.test):
        value = field_value(node)
        seen = seen_where(node, _of_test(value, value, node.test), scene)
        yield ReadAsNumber(node.field), sql("({seen} @> {as_of})", seen=seen, as_of=AS_OF_SQL)


# Across to accounts and back.


def _account(node: AccountCondition, scene: Scene) -> Claims:
    inner, accounts = accounts_of(scene)
    for read, claim in _claims(node.account, inner):
        yield read, sql("EXISTS (SELECT FROM {accounts} AND {claim})", accounts=accounts, claim=claim)


def _people(node: PeopleCondition, scene: Scene) -> Claims:
    inner, people = people_of(scene)
    for read, claim in _claims(node.who, inner) if node.who is not None else ():
        yield read, sql("EXISTS (SELECT FROM {people} AND {claim})", people=people, claim=claim)


_CONDITIONS: dict[type[Any], Callable[[Any, Scene], Claims]] = {
    AllOf: _group,
    AnyOf: _group,
    Not: lambda node, scene: _claims(node.child, scene),
    EventCondition: _events,
    SequenceCondition: _sequence,
    ChangeCondition: _change,
    FavouriteCondition: _favourite,
    AttributeCondition: _attribute,
    ItemsCondition: _items,
    SituationCondition: _situation,
    AccountCondition: _account,
    PeopleCondition: _people,
}
