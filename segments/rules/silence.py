"""Whether a rule may hold of somebody of whom nothing is known yet (rules.md 2.9)."""

from segments.rules.tree import (
    AllOf,
    AnyOf,
    AttributeCondition,
    EventCondition,
    FavouriteCondition,
    Node,
    SequenceCondition,
)
from segments.rules.values import Count


def may_hold_of_strangers(node: Node) -> bool:
    """Return False only where it cannot: where it takes an event or a value that there is not."""
    match node:
        case AllOf(children=children):
            return all(may_hold_of_strangers(child) for child in children)
        case AnyOf(children=children):
            return any(may_hold_of_strangers(child) for child in children)
        case EventCondition(aggregate=Count(test=test)):
            return test.low == 0
        case SequenceCondition() | FavouriteCondition():
            return False
        case AttributeCondition(test=test):
            return test.operator == "known"
    return True
