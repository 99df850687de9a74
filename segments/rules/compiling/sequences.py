"""Chains of events in an order (rules.md 1.4, sequence and step).

Step by step the events are kept that complete a chain up to there, each with the time at which its chain began: of
several chains that end in one event the one that began last, because it is the youngest by every limit.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from segments.rules.compiling import events, filters
from segments.rules.compiling.clock import Clock
from segments.rules.compiling.filters import event_of
from segments.rules.compiling.scene import Scene, Uncompilable
from segments.rules.compiling.spans import Span, forgotten_after, span_of
from segments.rules.compiling.sql import AS_OF_SQL, NEVER, Sql, duration, join, sql
from segments.rules.compiling.visits import end_of_visit, gap_of, is_of_visit, start_of_visit
from segments.rules.tree import Events, SequenceCondition, Step
from segments.rules.windows import EVER, ThisVisit

# At one instant events are ordered by when they were received, then by their id.
_COLUMNS = [("t", Sql("e.received_at")), ("id", Sql("e.id"))]
_AFTER = "({later}.x, {later}.t, {later}.id) > ({earlier}.x, {earlier}.t, {earlier}.id)"


class Chain(NamedTuple):
    """What all steps of a sequence share; `since` is the time before which no chain that counts is completed."""

    node: SequenceCondition
    scene: Scene
    clock: Clock
    since: Sql | None

    @property
    def shared(self) -> list[str]:
        """Return the columns that have one value in all steps."""
        return [f"s{n}" for n in range(len(self.node.same))] + (["visit"] if self.node.is_same_visit else [])


def sequence_timeline(node: SequenceCondition, scene: Scene) -> Sql:
    _check(node)
    clock = scene.clock(node.zone)
    completed = _completed_span(node, clock)
    chain = Chain(node, scene, clock, completed.since)
    dated = [asked for step in node.steps for asked in (step.events, step.without) if asked and _is_dated(asked)]
    if not dated:
        return _chains(chain, completed)
    # Which events pass changes with time: between the ends of their timelines it does not.
    return sql(
        """(SELECT coalesce(range_agg({chains} * tstzmultirange(tstzrange(d.at, d.until))), {never}) FROM (
            SELECT b.at, lead(b.at) OVER (ORDER BY b.at) AS until FROM (
                SELECT {as_of} AS at UNION SELECT lower(u) FROM {ends} UNION SELECT upper(u) FROM {ends}
            ) b WHERE b.at >= {as_of}
        ) d)""",
        chains=_chains(chain, completed),
        never=NEVER,
        as_of=AS_OF_SQL,
        ends=sql("({all}) f, unnest(f.f) u", all=join(" UNION ALL ", [_passing(chain, asked) for asked in dated])),
    )


def _is_dated(asked: Events) -> bool:
    return filters.is_dated(asked.where)


def _passing(chain: Chain, asked: Events) -> Sql:
    """Return when each of the events passes its filters."""
    found = events.pool(chain.scene, replace(asked, where=()), chain.node.zone, EVER)
    passes = filters.timeline(asked.where, event_of(chain.scene), chain.clock)
    return sql("SELECT e.f FROM ({rows}) e", rows=events.read(found, [("f", passes)]))


def steps_reached(node: SequenceCondition, scene: Scene) -> Sql:
    """Return JSON: how many steps some chain has passed at the moment of asking, and `at` which time the last."""
    clock = scene.clock(node.zone)
    chain = Chain(node, scene, clock, _completed_span(node, clock).since)
    tables, ends = _tables(chain)
    each = [
        Sql(f"SELECT {number} AS steps, max(q.x) AS at FROM q{number - 1} q") for number in range(1, len(node.steps))
    ]
    complete = sql(
        "SELECT {steps} AS steps, max(q.x) AS at FROM ({ends}) q"
        " WHERE q.x <= {as_of} AND (q.until IS NULL OR q.until > {as_of})",
        steps=str(len(node.steps)),
        ends=ends,
        as_of=AS_OF_SQL,
    )
    # Filters about dates are asked at `d.at`.
    return sql(
        """(SELECT (WITH {tables} SELECT to_jsonb(r) FROM ({each}) r WHERE r.at IS NOT NULL
            ORDER BY r.steps DESC LIMIT 1) FROM (SELECT {as_of} AS at) d)""",
        tables=join(", ", tables),
        each=join(" UNION ALL ", [*each, complete]),
        as_of=AS_OF_SQL,
    )


def _tables(chain: Chain) -> tuple[list[Sql], Sql]:
    """Return the tables of the steps, one built on the other, and a SELECT of what completes chains."""
    tables = []
    *before, last = chain.node.steps
    steps = before if last.is_absent else chain.node.steps
    for number, step in enumerate(steps):
        tables += _tables_of(chain, number, step)
    if not last.is_absent:
        return tables, Sql(f"SELECT q.x, q.began, q.visit_end, NULL::timestamptz AS until FROM q{len(steps) - 1} q")
    tables.append(sql("b AS ({rows})", rows=_rows(chain, last.events, [])))
    return tables, _absences(chain, last)


def _chains(chain: Chain, completed: Span) -> Sql:
    tables, ends = _tables(chain)
    kept = forgotten_after(Span(Sql("q.x")), Sql("q.began"), chain.scene.surroundings.retention)
    # least() passes over NULL, which stands for no end here.
    highs = [high for high in (Sql("q.until"), completed.high, kept.high) if high is not None]
    span = replace(completed, high=sql("least({highs})", highs=join(", ", highs)))
    return sql(
        "(WITH {tables} SELECT coalesce(range_agg({range}){counting}, {never}) FROM ({ends}) q)",
        tables=join(", ", tables),
        range=_range(span),
        counting=sql(" FILTER (WHERE {only})", only=join(" AND ", span.only)) if span.only else Sql(""),
        never=NEVER,
        ends=ends,
    )


def _range(span: Span) -> Sql:
    return sql(
        "CASE WHEN {high} IS NULL OR {high} > {low} THEN tstzrange({low}, {high}) ELSE 'empty' END",
        low=span.low,
        high=span.high or Sql("NULL::timestamptz"),
    )


def _check(node: SequenceCondition) -> None:
    firsts, lasts, last = node.steps[1:], node.steps[:-1], node.steps[-1]
    if last.is_absent and last.without:
        raise Uncompilable("What must be absent has nothing before it.")
    if len(node.steps) < 2 or any(step.is_newest for step in firsts) or any(step.is_absent for step in lasts):
        raise Uncompilable("A sequence has two steps or more; the first may be the newest, the last may be absent.")


def _completed_span(node: SequenceCondition, clock: Clock) -> Span:
    """Return the span of what completes a chain at `q.x`."""
    if isinstance(node.window, ThisVisit):
        return Span(Sql("q.x"), Sql("q.visit_end"), (Sql("q.visit_end IS NOT NULL"),))
    return span_of(node.window, Sql("q.x"), clock)


def _since(chain: Chain, number: int) -> list[Sql]:
    """Return the condition on time of the events of a step, where one follows from the window and the limits."""
    if chain.since is None:
        return []
    later = [step.within for step in chain.node.steps[number + 1 :]]
    if chain.node.within is not None:
        back = chain.node.within.microseconds
    elif all(within is not None for within in later):
        back = sum(within.microseconds for within in later if within is not None)
    else:
        return []
    return [sql("e.occurred_at >= {since} - {back}", since=chain.since, back=duration(back))]


def _rows(chain: Chain, asked: Events, since: Sequence[Sql], *, is_newest: bool = False) -> Sql:
    """Return events with all by which they are ordered and compared."""
    found = events.pool(chain.scene, asked, chain.node.zone, EVER)
    if found.is_dated:
        passes = filters.timeline(asked.where, event_of(chain.scene), chain.clock)
        found = found._replace(events=replace(asked, where=()), also=(sql("({f}) @> d.at", f=passes),))
    columns = list(_COLUMNS)
    for number, name in enumerate(chain.node.same):
        value = sql("segments_key({value})", value=filters.value_at(event_of(chain.scene), name))
        columns.append((f"s{number}", value))
    if chain.node.is_same_visit:
        columns.append(("visit", events.visit_of(found)))
    columns.append(("visit_end", _visit_end(chain, found)))
    only = [*found.span.only, *since]
    if is_newest:
        return events.read(found, columns, only=only, order="DESC", most=1, then=("t", "id"))
    return events.read(found, columns, only=only)


def _visit_end(chain: Chain, found: events.Pool) -> Sql:
    """Return the end of the visit of an event, NULL where it is over; it is asked for in the window `this_visit`."""
    if not isinstance(chain.node.window, ThisVisit):
        return Sql("NULL::timestamptz")
    gap = gap_of(chain.scene.surroundings.visit_gap)
    return sql(
        f"CASE WHEN {is_of_visit('e')} AND e.occurred_at >= {{start}} THEN {{end}} END",
        start=start_of_visit(found.owner, None, gap),
        end=end_of_visit(found.owner, gap),
    )


def _tables_of(chain: Chain, number: int, step: Step) -> list[Sql]:
    since = _since(chain, number)
    rows = _rows(chain, step.events, since, is_newest=step.is_newest)
    if number == 0:
        known = " AND ".join([f"e.{column} IS NOT NULL" for column in chain.shared])
        where = f" WHERE {known}" if known else ""
        return [sql(f"q0 AS (SELECT e.*, e.x AS began FROM ({{rows}}) e{where})", rows=rows)]
    tables, conditions = [], [Sql(_AFTER.format(later="e", earlier="p")), *_joined(chain, "p", "e")]
    if step.within is not None:
        conditions.append(sql("p.x > e.x - {within}", within=duration(step.within.microseconds)))
    if step.without is not None:
        tables.append(sql(f"w{number} AS ({{rows}})", rows=_rows(chain, step.without, [])))
        between = [_AFTER.format(later="w", earlier="p"), _AFTER.format(later="e", earlier="w")]
        conditions.append(Sql(f"NOT EXISTS (SELECT FROM w{number} w WHERE {' AND '.join(between)})"))
    if chain.node.within is not None:
        conditions.append(sql("p.began > e.x - {within}", within=duration(chain.node.within.microseconds)))
    table = sql(
        f"""q{number} AS (SELECT e.*, p.began FROM ({{rows}}) e CROSS JOIN LATERAL (
            SELECT max(p.began) AS began FROM q{number - 1} p WHERE {{conditions}}
        ) p WHERE p.began IS NOT NULL)""",
        rows=rows,
        conditions=join(" AND ", conditions),
    )
    return [*tables, table]


def _joined(chain: Chain, one: str, other: str) -> list[Sql]:
    return [Sql(f"{one}.{column} = {other}.{column}") for column in chain.shared]


def _absences(chain: Chain, step: Step) -> Sql:
    """Return the completing instants of chains whose last step is that something does not come.

    With `within` T a chain is complete T after its event `p`, if nothing came by then; else at once, until it comes.
    """
    table = f"q{len(chain.node.steps) - 2}"
    comes = join(" AND ", [Sql(_AFTER.format(later="b", earlier="p")), *_joined(chain, "b", "p")])
    if step.within is None:
        return sql(
            f"SELECT p.x, p.began, p.visit_end, (SELECT min(b.x) FROM b WHERE {{comes}}) AS until FROM {table} p",
            comes=comes,
        )
    within = duration(step.within.microseconds)
    conditions = [
        sql("NOT EXISTS (SELECT FROM b WHERE {comes} AND b.x < p.x + {within})", comes=comes, within=within)
    ]
    if chain.node.within is not None:
        whole = duration(chain.node.within.microseconds)
        conditions.append(sql("p.began > p.x + {within} - {whole}", within=within, whole=whole))
    return sql(
        "SELECT p.x + {within} AS x, p.began, p.visit_end, NULL::timestamptz AS until"
        f" FROM {table} p WHERE {{conditions}}",
        within=within,
        conditions=join(" AND ", conditions),
    )
