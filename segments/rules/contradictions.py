"""Conditions of one ALL group that nobody can match at once: ranges of one number that do not meet, or a condition
and its opposite. Attributes are left alone: one that is a list may be both gold and silver."""

from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from typing import NamedTuple

from segments.rules import phrases
from segments.rules.nodes import walk
from segments.rules.refusals import Report
from segments.rules.tree import AllOf, EventCondition, ItemsCondition, Node, Not, Rule
from segments.rules.values import AT_LEAST_ONCE, Amount, Count, CountTest, Distinct, ValueTest


class _Span(NamedTuple):
    """The values that a test lets pass: from `low` to `high`, None for no end; an open end does not pass itself."""

    low: Decimal | None
    high: Decimal | None
    is_low_open: bool = False
    is_high_open: bool = False

    def meets(self, other: "_Span") -> bool:
        return self._reaches(other) and other._reaches(self)

    def _reaches(self, other: "_Span") -> bool:
        """Say whether the low end of this one lies at or below the high end of the other."""
        if self.low is None or other.high is None:
            return True
        is_open = self.is_low_open or other.is_high_open
        return self.low < other.high or (self.low == other.high and not is_open)


def note_contradictions(rule: Rule, report: Report) -> None:
    """Note each ALL group that nobody can match, once."""
    for node in walk(rule.root):
        if isinstance(node, AllOf):
            pair = next((pair for pair in combinations(node.children, 2) if _exclude_each_other(*pair)), None)
            if pair is not None:
                report.note(node.path, "nobody", both=_both(*pair))


def _exclude_each_other(one: Node, other: Node) -> bool:
    for node, opposite in ((one, other), (other, one)):
        if isinstance(opposite, Not) and opposite.child == node:
            return True
    asked = _asked(one), _asked(other)
    if asked[0] is None or asked[1] is None or asked[0][0] != asked[1][0]:
        return False
    return not asked[0][1].meets(asked[1][1])


def _asked(node: Node) -> tuple[object, _Span] | None:
    """Return what a condition measures, equal where two measure the same, and the values that it lets pass."""
    if not isinstance(node, EventCondition | ItemsCondition):
        return None
    aggregate = node.aggregate
    span = _count_span(aggregate.test) if isinstance(aggregate, Count | Distinct) else _span(aggregate.test)
    if span is None:
        return None
    plain = replace(node, aggregate=AT_LEAST_ONCE, note="", label="")
    of = (
        None
        if isinstance(aggregate, Count)
        else (aggregate.kind if isinstance(aggregate, Amount) else "", aggregate.of)
    )
    return (plain, of), span


def _count_span(test: CountTest) -> _Span:
    return _Span(Decimal(test.low), None if test.high is None else Decimal(test.high))


def _span(test: ValueTest) -> _Span | None:
    operand = test.operand
    if isinstance(operand, tuple) and test.operator == "between":
        low, high = operand
        return _Span(Decimal(low), Decimal(high))
    if not isinstance(operand, Decimal):
        return None
    return {
        "equals": _Span(operand, operand),
        "less_than": _Span(None, operand, is_high_open=True),
        "at_most": _Span(None, operand),
        "more_than": _Span(operand, None, is_low_open=True),
        "at_least": _Span(operand, None),
    }.get(test.operator)


def _both(one: Node, other: Node) -> str:
    """Return what two conditions ask, short enough for a note."""
    if isinstance(one, Not) or isinstance(other, Not):
        return "A condition and its opposite"
    return f"'{_asks(one)}' and '{_asks(other)}'"


def _asks(node: Node) -> str:
    aggregate = node.aggregate if isinstance(node, EventCondition | ItemsCondition) else AT_LEAST_ONCE
    return phrases.amount(aggregate.test) if isinstance(aggregate, Amount) else phrases.count(aggregate.test)
