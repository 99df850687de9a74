"""From spans to a timeline: walk through the ends of spans, between which nothing changes.

Spans are a relation with a range `r` and, where an aggregate needs it, a value `v`. Each span adds to some counters
when it begins and takes the same away when it ends; the timeline is where a claim about the counters holds.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Literal, NamedTuple

from segments.rules.compiling.asking import compare, elements
from segments.rules.compiling.scene import Uncompilable
from segments.rules.compiling.sql import AS_OF_SQL, FALSE, NEVER, Sql, join, number, sql
from segments.rules.operators import OPERATORS
from segments.rules.values import EACH, Aggregate, Amount, Count, CountTest, Distinct, Name, ValueTest


class Claim(NamedTuple):
    """What holds of counters: each a number of one row, named `c1`, `c2`, … in the claim."""

    counters: tuple[Sql, ...]
    holds: Sql


def walk(spans: Sql, claim: Claim) -> Sql:
    """Return when the claim holds of the spans that cover the time, from the moment of asking on."""
    numbers = range(1, len(claim.counters) + 1)
    added = join(", ", [sql(f"c.sign * {{counter}} AS c{n}", counter=claim.counters[n - 1]) for n in numbers])
    return sql(
        f"""(SELECT coalesce(range_agg(tstzrange(p.at, p.until)) FILTER (WHERE {{holds}}), {{never}})
        FROM (
            SELECT g.at, lead(g.at) OVER o AS until, {", ".join(f"sum(g.c{n}) OVER o AS c{n}" for n in numbers)}
            FROM (
                SELECT c.at, {", ".join(f"sum(c.c{n}) AS c{n}" for n in numbers)}
                FROM (
                    SELECT {{as_of}} AS at, {", ".join(f"0::numeric AS c{n}" for n in numbers)}
                    UNION ALL
                    SELECT c.at, {{added}}
                    FROM ({{spans}}) q CROSS JOIN LATERAL (
                        VALUES (greatest(lower(q.r), {{as_of}}), 1), (upper(q.r), -1)
                    ) c(at, sign)
                    WHERE NOT isempty(q.r) AND (upper(q.r) IS NULL OR upper(q.r) > {{as_of}}) AND c.at IS NOT NULL
                ) c GROUP BY c.at
            ) g WINDOW o AS (ORDER BY g.at)
        ) p)""",
        holds=claim.holds,
        never=NEVER,
        as_of=AS_OF_SQL,
        added=added,
        spans=spans,
    )


def of_count(test: CountTest) -> Claim:
    return Claim((Sql("1"),), count_holds(Sql("p.c1"), test))


def check_count(test: CountTest) -> None:
    if test.low < 0 or (test.high is not None and test.high < test.low):
        raise Uncompilable("No count can pass this test.")


def count_holds(count: Sql, test: CountTest) -> Sql:
    """Return that a number of things passes a test."""
    check_count(test)
    low = sql("{count} >= {low}", count=count, low=number(test.low))
    if test.high is None:
        return low
    return sql("({low} AND {count} <= {high})", low=low, count=count, high=number(test.high))


def aggregated(aggregate: Aggregate, spans: Callable[[Sql | None], Sql], value: Callable[[Name], Sql]) -> Sql:
    """Return when an aggregate is true of the rows that cover the time.

    `spans` makes the relation, with a value `v` of JSON where it is given one; `value` is that of a name in a row.
    """
    match aggregate:
        case Count(test=test):
            return walk(spans(None), of_count(test))
        case Amount(of=name):
            return walk(flat(spans(value(name)), name, "segments_number({value})"), of_amount(aggregate))
        case Distinct(of=name, test=test):
            # One span for each value and time, however many rows with the value cover that time.
            values = flat(spans(value(name)), name, "segments_key({value})")
            merged = sql("SELECT range_agg(q.r) AS r FROM ({values}) q GROUP BY q.v", values=values)
            return walk(sql("SELECT unnest(q.r) AS r FROM ({merged}) q", merged=merged), of_count(test))
        case _:
            raise Uncompilable(f"{aggregate!r} is no aggregate.")


def flat(spans: Sql, name: Name, reader: str) -> Sql:
    """Return the spans with their values read, without those that are unknown; of a name with EACH all values."""
    if EACH not in name:
        read = sql(f"SELECT q.r, {reader.format(value='q.v')} AS v FROM ({{spans}}) q", spans=spans)
    else:
        read = sql(
            f"SELECT q.r, {reader.format(value='l')} AS v FROM ({{spans}}) q CROSS JOIN LATERAL {{elements}} l",
            spans=spans,
            elements=elements("q.v"),
        )
    return sql("SELECT q.r, q.v FROM ({read}) q WHERE q.v IS NOT NULL", read=read)


def of_amount(amount: Amount) -> Claim:
    """Return the claim about an amount; the spans are of those rows alone whose value is a number."""
    _check(amount.test)
    if amount.kind not in _AMOUNTS:
        raise Uncompilable(f"“{amount.kind}” is no amount.")
    return _AMOUNTS[amount.kind](amount.test)


def _sum(test: ValueTest) -> Claim:
    if test.operator == "known":
        return Claim((Sql("1"),), Sql("TRUE") if test.operand else FALSE)
    return Claim((Sql("q.v"),), _compare(Sql("p.c1"), test))


def _average(test: ValueTest) -> Claim:
    """An average is tested as a sum beside n times the number: nothing is divided, so nothing is rounded."""
    if test.operator == "known":
        return _known(test)
    passes = _compare(Sql("p.c1"), test, times=Sql("p.c2"))
    return Claim((Sql("q.v"), Sql("1")), sql("(p.c2 > 0 AND {passes})", passes=passes))


# An extreme passes where of these rows there are some, or none: (comparison with the value, place of the operand).
Rows = tuple[str, int, Literal["some", "none"]]
_GREATEST: dict[str, tuple[Rows, ...]] = {
    "at_most": ((">", 0, "none"),),
    "less_than": ((">=", 0, "none"),),
    "at_least": ((">=", 0, "some"),),
    "more_than": ((">", 0, "some"),),
    "equals": ((">", 0, "none"), ("=", 0, "some")),
    "between": ((">", 1, "none"), (">=", 0, "some")),
}
_LEAST: dict[str, tuple[Rows, ...]] = {
    "at_most": (("<=", 0, "some"),),
    "less_than": (("<", 0, "some"),),
    "at_least": (("<", 0, "none"),),
    "more_than": (("<=", 0, "none"),),
    "equals": (("<", 0, "none"), ("=", 0, "some")),
    "between": (("<", 0, "none"), ("<=", 1, "some")),
}


def _extreme(table: dict[str, tuple[Rows, ...]]) -> Callable[[ValueTest], Claim]:
    """Return what makes the claim about a least or greatest value: it counts rows and compares no counts."""

    def of_test(test: ValueTest) -> Claim:
        if test.operator == "known":
            return _known(test)
        row = OPERATORS[test.operator]
        positive = row.negates or test.operator
        tests = (
            [("equals", (one,)) for one in _numbers(test)] if positive == "one_of" else [(positive, _numbers(test))]
        )
        counters, claims = [Sql("1")], []
        for operator, operands in tests:
            parts = []
            for sign, place, wanted in table[operator]:
                counters.append(sql(f"(q.v {sign} {{operand}})::int", operand=number(operands[place])))
                parts.append(Sql(f"p.c{len(counters)} {'>' if wanted == 'some' else '='} 0"))
            claims.append(join(" AND ", parts))
        holds = sql("NOT ({any})" if row.negates else "({any})", any=join(" OR ", claims))
        return Claim(tuple(counters), sql("(p.c1 > 0 AND {holds})", holds=holds))

    return of_test


def _numbers(test: ValueTest) -> tuple[Decimal, ...]:
    operands = test.operand if isinstance(test.operand, tuple) else (test.operand,)
    return tuple(operand for operand in operands if isinstance(operand, Decimal))


def _known(test: ValueTest) -> Claim:
    return Claim((Sql("1"),), Sql("p.c1 > 0") if test.operand else Sql("p.c1 = 0"))


def _check(test: ValueTest) -> None:
    row = OPERATORS.get(test.operator)
    if row is None or test.reads != "number" or "number" not in row.reads:
        raise Uncompilable(f"“{test.operator}” is no test on numbers.")


def _compare(value: Sql, test: ValueTest, *, times: Sql | None = None) -> Sql:
    row = OPERATORS[test.operator]
    if row.negates:
        return sql("NOT {passes}", passes=compare(value, OPERATORS[row.negates], test, times=times))
    return compare(value, row, test, times=times)


_AMOUNTS: dict[str, Callable[[ValueTest], Claim]] = {
    "sum": _sum,
    "avg": _average,
    "min": _extreme(_LEAST),
    "max": _extreme(_GREATEST),
}
