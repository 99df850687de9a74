"""Whether a rule may hold of somebody of whom nothing is known yet (rules.md 2.9)."""

from decimal import Decimal

from segments.rules.tree import (
    AllOf,
    AnyOf,
    AttributeCondition,
    EventCondition,
    FavouriteCondition,
    Node,
    SequenceCondition,
)
from segments.rules.values import Amount, Count, Distinct, ValueTest


def may_hold_of_strangers(node: Node) -> bool:
    """Return False only where it cannot: where it takes an event or a value that there is not."""
    match node:
        case AllOf(children=children):
            return all(may_hold_of_strangers(child) for child in children)
        case AnyOf(children=children):
            return any(may_hold_of_strangers(child) for child in children)
        case EventCondition(aggregate=Count(test=test) | Distinct(test=test)):
            return test.low == 0
        case EventCondition(aggregate=Amount(kind="sum", test=test)):
            return not _is_of_more_than_nothing(test)
        case EventCondition(aggregate=Amount(test=test)):
            return test.operator == "known"
        case SequenceCondition() | FavouriteCondition():
            return False
        case AttributeCondition(test=test):
            return test.operator == "known"
    return True


def _is_of_more_than_nothing(test: ValueTest) -> bool:
    """Say whether 0, the sum over nothing, is too little."""
    if not isinstance(test.operand, Decimal):
        return False
    return (test.operator == "at_least" and test.operand > 0) or (test.operator == "more_than" and test.operand >= 0)
