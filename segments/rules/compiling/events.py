"""Conditions about events: how many there are, what they add up to, the first and the last (rules.md 1.4).

Whoever asks for n events reads the n entries of the index `event_of_profile` that matter, for each name and person.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from segments.rules.compiling import filters, steps
from segments.rules.compiling.clock import Clock
from segments.rules.compiling.filters import event_of
from segments.rules.compiling.scene import Scene, Uncompilable
from segments.rules.compiling.spans import Span, forgotten_after, span_of
from segments.rules.compiling.sql import (
    ALWAYS,
    AS_OF_SQL,
    FIRST,
    LAST,
    NEVER,
    TRUE,
    Sql,
    bigint,
    join,
    sql,
    text,
    texts,
)
from segments.rules.compiling.visits import end_of_visit, gap_of, is_of_visit, start_of_visit, visits
from segments.rules.money import is_money
from segments.rules.tree import ANY_EVENT, ATTRIBUTE_CHANGED, DAY, VISIT, EventCondition, Events
from segments.rules.values import Amount, Count, CountTest, Name
from segments.rules.windows import ThisVisit, Window

X = Sql("e.occurred_at")
FROM_NOW = sql("tstzrange({as_of}, NULL)", as_of=AS_OF_SQL)
_OF_CROWD = sql("e.profile_id BETWEEN {first} AND {last}", first=FIRST, last=LAST)
# No event lies in the future, but the clocks of two doors may differ. It leaves out the partitions that are made
# ahead: more than half of those that a short window would begin to read.
_NOT_AHEAD = sql("{x} < {as_of} + interval '24 hours'", x=X, as_of=AS_OF_SQL)


class Pool(NamedTuple):
    """Events that are asked about, and for how long each counts. `owner` is the column of the profile.

    `also` are conditions beside the filters that make an event one of those. With `is_crowd` the events are those of
    all who are asked about.
    """

    scene: Scene
    events: Events
    clock: Clock
    span: Span
    owner: str
    also: tuple[Sql, ...] = ()
    is_crowd: bool = False

    @property
    def is_dated(self) -> bool:
        return filters.is_dated(self.events.where)


def pool(scene: Scene, events: Events, zone: str | None, window: Window) -> Pool:
    clock = scene.clock(zone)
    owner = scene.id if scene.of == "profile" else f"m{scene.depth}.profile_id"
    return Pool(scene, events, clock, _span(scene, window, clock, owner), owner)


def _span(scene: Scene, window: Window, clock: Clock, owner: str) -> Span:
    if isinstance(window, ThisVisit):
        gap = gap_of(scene.surroundings.visit_gap)
        # Only the last visit can still be going on.
        begin = start_of_visit(owner, None, gap)
        only = (sql("{x} >= {begin}", x=X, begin=begin), Sql(is_of_visit("e")))
        span = Span(X, end_of_visit(owner, gap), only, begin)
    else:
        span = span_of(window, X, clock)
    return forgotten_after(span, X, scene.surroundings.retention)


def read(
    pool: Pool,
    columns: Sequence[tuple[str, Sql]] = (),
    *,
    only: Sequence[Sql] | None = None,
    order: str = "",
    then: Sequence[str] = (),
    most: int | None = None,
) -> Sql:
    """Return a SELECT of the events that pass the filters: their time `x`, their span `r`, and more columns.

    `only` are conditions on time, by default those of the span. With `order`, ASC or DESC, and `most` no more entries
    are read than that for each name and person. `then` are columns that order those of one instant.
    """
    if not pool.events.names or (ANY_EVENT[0] in pool.events.names and pool.events.names != ANY_EVENT):
        raise Uncompilable("A condition is about events by their names, or about every event.")
    chosen = [sql("{x} AS x", x=X), sql("{r} AS r", r=pool.span.range)]
    chosen += [sql(f"{{column}} AS {name}", column=column) for name, column in columns]
    ending = f" ORDER BY {', '.join(f'{column} {order}' for column in ('x', *then))}" if order else ""
    limit = sql(" LIMIT {most}", most=bigint(most)) if most is not None else Sql("")
    branches = []
    for relations, source, named in _sources(pool):
        conditions = [*named, *(pool.span.only if only is None else only), *pool.also]
        if not pool.is_dated:
            conditions += filters.claims(pool.events.where, event_of(pool.scene))
        branch = sql(
            "SELECT {chosen} FROM {source} e{where}" + ending + "{limit}",
            chosen=join(", ", chosen),
            source=source,
            where=sql(" WHERE {all}", all=join(" AND ", conditions)) if conditions else Sql(""),
            limit=limit,
        )
        if relations:
            branch = sql(
                "SELECT e.* FROM {relations} CROSS JOIN LATERAL ({branch}) e",
                relations=join(" CROSS JOIN ", relations),
                branch=branch,
            )
        branches.append((bool(relations), branch))
    (is_wrapped, rows), *others = branches
    if others:
        rows = join(" UNION ALL ", [sql("({branch})", branch=branch) for _, branch in branches])
    if order and (is_wrapped or others):
        rows = sql("SELECT e.* FROM ({rows}) e" + ending + "{limit}", rows=rows, limit=limit)
    return rows


def _sources(pool: Pool) -> list[tuple[list[Sql], Sql, list[Sql]]]:
    """Return from where the events come: relations beside them, the relation itself, and conditions on it."""
    names, scene = pool.events.names, pool.scene
    people = []
    if scene.of == "account":
        member = f"m{scene.depth}"
        people = [
            Sql(f"(SELECT m.profile_id FROM audience_accountmember m WHERE m.account_id = {scene.id}) {member}")
        ]
    table = Sql("audience_event")
    owned = [_OF_CROWD if pool.is_crowd else Sql(f"e.profile_id = {pool.owner}"), _NOT_AHEAD]
    recorded = [name for name in names if name != VISIT]
    sources = []
    if names == ANY_EVENT:
        # What is derived from other facts is no event of its own.
        others = sql("e.name <> {name}", name=text(ATTRIBUTE_CHANGED))
        sources.append((people, table, [*owned, others]))
    elif len(recorded) == 1:
        sources.append((people, table, [*owned, sql("e.name = {name}", name=text(recorded[0]))]))
    elif recorded:
        listed = sql("(SELECT DISTINCT unnest({names}) AS name) n", names=texts(recorded))
        sources.append(([*people, listed], table, [*owned, Sql("e.name = n.name")]))
    if VISIT in names:
        found = visits(pool.owner, pool.span.since, gap_of(scene.surroundings.visit_gap))
        sources.append((people, found, []))
    return sources


def event_timeline(node: EventCondition, scene: Scene) -> Sql:
    """Return when the aggregate is true of the events that count."""
    found = pool(scene, node.events, node.zone, node.window)
    if node.which != "any":
        return one_of(found, is_first=node.which == "first")
    if isinstance(node.aggregate, Count) and found.span.enough != "all" and not found.is_dated:
        return _counted(found, node.aggregate.test)
    return steps.aggregated(
        node.aggregate,
        lambda value: spans(found, [("v", value)] if value else []),
        partial(event_number if isinstance(node.aggregate, Amount) else event_value, found),
    )


def _counted(found: Pool, test: CountTest) -> Sql:
    """Return when there are so many, by the n-th event alone."""
    steps.check_count(test)
    enough = at_least(found, test.low)
    if test.high is None:
        return enough
    return sql("({enough} - {more})", enough=enough, more=at_least(found, test.high + 1))


def at_least(found: Pool, count: int) -> Sql:
    """Return when there are so many events, in a window where few are enough."""
    if count == 0:
        return ALWAYS
    order = "DESC" if found.span.enough == "newest" else "ASC"
    if found.scene.crowd is not None and (relation := _of_crowd(found, count, order)) is not None:
        return sql("coalesce({t}, {never})", t=found.scene.crowd.column(relation), never=NEVER)
    return sql(
        "coalesce((SELECT tstzmultirange(e.r * {from_now}) FROM ({rows}) e OFFSET {skipped}), {never})",
        from_now=FROM_NOW,
        rows=read(found, order=order, most=count),
        skipped=bigint(count - 1),
        never=NEVER,
    )


def _of_crowd(found: Pool, count: int, order: str) -> Sql | None:
    """Return until when each of a crowd has so many events, from one walk along the index.

    None for what asks more of somebody than events of one name: it is asked about each.
    """
    place = f"row_number() OVER (PARTITION BY e.profile_id ORDER BY {X.text} {order})"
    rows = read(found._replace(is_crowd=True), [("owner", Sql("e.profile_id")), ("place", Sql(place))])
    if len(found.events.names) > 1 or found.events.names[0] in (*ANY_EVENT, VISIT) or found.owner in rows.text:
        return None
    return sql(
        "SELECT e.owner, tstzmultirange(e.r * {from_now}) AS t FROM ({rows}) e WHERE e.place = {count}",
        from_now=FROM_NOW,
        rows=rows,
        count=bigint(count),
    )


def one_of(found: Pool, *, is_first: bool, passes: Sql = TRUE) -> Sql:
    """Return the span of the first or the last of the events, where that one passes a claim."""
    order = "ASC" if is_first else "DESC"
    retention = found.scene.surroundings.retention
    counts = ("counts", join(" AND ", [*found.span.only, passes]))
    kept = forgotten_after(Span(X), X, retention)
    if not found.is_dated and not (is_first and retention):
        return sql(
            "coalesce((SELECT CASE WHEN e.counts THEN tstzmultirange(e.r * {from_now}) END"
            " FROM ({rows}) e), {never})",
            from_now=FROM_NOW,
            rows=read(found, [counts], only=kept.only, order=order, most=1),
            never=NEVER,
        )
    # Which is the first, or the last, changes with time: it is one while it passes and none before it does.
    asked = filters.timeline(found.events.where, event_of(found.scene), found.clock) if found.is_dated else ALWAYS
    exists = sql("tstzmultirange({kept}) * {asked}", kept=kept.range, asked=asked)
    return sql(
        """(SELECT coalesce(range_agg(tstzmultirange(e.r) * (e.f - coalesce(e.others, {never})))
            FILTER (WHERE e.counts), {never})
        FROM (SELECT e.*, range_agg(e.f) OVER (ORDER BY e.x """
        + order
        + """ ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS others FROM ({rows}) e) e)""",
        never=NEVER,
        rows=read(found, [counts, ("f", exists)], only=kept.only),
    )


def spans(found: Pool, columns: Sequence[tuple[str, Sql]] = ()) -> Sql:
    """Return the spans `r` of all events that may count, with more columns."""
    names = "".join(f", e.{name}" for name, _ in columns)
    if not found.is_dated:
        return sql(f"SELECT e.r{names} FROM ({{rows}}) e", rows=read(found, columns))
    passes = filters.timeline(found.events.where, event_of(found.scene), found.clock)
    return sql(
        f"SELECT unnest(tstzmultirange(e.r) * e.f) AS r{names} FROM ({{rows}}) e",
        rows=read(found, [*columns, ("f", passes)]),
    )


def event_value(found: Pool, name: Name) -> Sql:
    """Return a value of an event as JSON; its day and its visit are values, too."""
    if name == (DAY,):
        return sql("to_jsonb({day}::text)", day=found.clock.day(X))
    if name == (VISIT,):
        return sql("to_jsonb({visit})", visit=visit_of(found))
    return filters.value_at(event_of(found.scene), name)


def event_number(found: Pool, name: Name) -> Sql:
    """Return a value of an event that is to be read as a number, an amount in the advertiser's currency."""
    return filters.number_at(event_of(found.scene), name) if is_money(name) else event_value(found, name)


def visit_of(found: Pool) -> Sql:
    """Return by what the visit of an event is told from others, NULL where it is in none."""
    start = start_of_visit(found.owner, X, gap_of(found.scene.surroundings.visit_gap))
    return sql(
        f"CASE WHEN {is_of_visit('e')} THEN {found.owner}::text || ' ' || {{start}}::text END",
        start=start,
    )
