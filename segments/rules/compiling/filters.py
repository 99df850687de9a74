"""Filters: what is asked of one event or of one record, as a claim or, where a date is asked about, as a timeline."""

from collections.abc import Sequence
from typing import NamedTuple

from segments.rules.compiling import asking
from segments.rules.compiling.clock import Clock
from segments.rules.compiling.scene import Scene, Uncompilable
from segments.rules.compiling.sql import Sql, join, opposite, sql, text
from segments.rules.money import is_money
from segments.rules.tree import AllOf, AnyOf, ContextFilter, Filter, Not, PropertyFilter
from segments.rules.values import Name


class Record(NamedTuple):
    """The columns in which an event, or a record of a list, has its values; a record of a list has no context.

    `currency` is that in which amounts are asked about.
    """

    properties: str
    context: str | None
    currency: str


def event_of(scene: Scene) -> Record:
    return Record("e.properties", "e.context", scene.surroundings.currency)


def item_of(scene: Scene) -> Record:
    return Record("i.record", None, scene.surroundings.currency)


def is_dated(filters: Sequence[Filter]) -> bool:
    """Return whether the answer depends on when it is asked."""
    return any(_is_dated(one) for one in filters)


def _is_dated(one: Filter) -> bool:
    match one:
        case AllOf(children=children) | AnyOf(children=children):
            return is_dated(children)
        case Not(child=child):
            return _is_dated(child)
        case PropertyFilter(test=test) | ContextFilter(test=test):
            return asking.is_dated(test)
        case _:
            raise Uncompilable("A filter that is unknown cannot be asked.")


def claims(filters: Sequence[Filter], record: Record) -> tuple[Sql, ...]:
    """Return what has to be true of a record, none of it about dates."""
    return tuple(_claim(one, record) for one in filters)


def _claim(one: Filter, record: Record) -> Sql:
    match one:
        case AllOf(children=children) | AnyOf(children=children) if children:
            word = " AND " if isinstance(one, AllOf) else " OR "
            return sql("({all})", all=join(word, [_claim(child, record) for child in children]))
        case Not(child=child):
            return sql("(NOT {child})", child=_claim(child, record))
        case PropertyFilter() | ContextFilter():
            return asking.claim(value_of(one, record), one.test)
        case _:
            raise Uncompilable("A filter that is empty or unknown cannot be asked.")


def timeline(filters: Sequence[Filter], record: Record, clock: Clock) -> Sql:
    """Return when all filters are true of a record."""
    return join(" * ", [_timeline(one, record, clock) for one in filters])


def _timeline(one: Filter, record: Record, clock: Clock) -> Sql:
    match one:
        case AllOf(children=children) | AnyOf(children=children) if children:
            sign = " * " if isinstance(one, AllOf) else " + "
            return sql("({all})", all=join(sign, [_timeline(child, record, clock) for child in children]))
        case Not(child=child):
            return opposite(_timeline(child, record, clock))
        case PropertyFilter() | ContextFilter():
            return asking.timeline(value_of(one, record), one.test, clock)
        case _:
            raise Uncompilable("A filter that is empty or unknown cannot be asked.")


def value_at(record: Record, name: Name) -> Sql:
    return asking.value_at(record.properties, name)


def currency_of(record: Record, name: Name) -> str | None:
    """Return in which currency a value is read; None where it is no amount of money."""
    return record.currency if is_money(name) else None


def number_at(record: Record, name: Name) -> Sql:
    """Return a value to be read as a number: an amount of money in the advertiser's currency, NULL where it is in
    another one that cannot be converted.
    """
    value, own = value_at(record, name), currency_of(record, name)
    if own is None:
        return value
    properties, currency = Sql(record.properties), text(own)
    # Most events say none or this one: to call the function for each of them takes as long as all the rest.
    return sql(
        "(CASE WHEN coalesce({properties} ->> 'currency', {currency}) = {currency} THEN {value}"
        " ELSE segments_amount({value}, {properties}, {currency}) END)",
        value=value,
        properties=properties,
        currency=currency,
    )


def value_of(one: PropertyFilter | ContextFilter, record: Record) -> Sql:
    if isinstance(one, PropertyFilter):
        return number_at(record, one.property) if one.test.reads == "number" else value_at(record, one.property)
    if record.context is None:
        raise Uncompilable("A record of a list has no context.")
    return asking.value_at(record.context, one.field)
