"""Walks through a rule: its nodes, the rules inside of it, and the segments that it names."""

from collections.abc import Iterator

from segments.rules.tree import AccountCondition, AllOf, AnyOf, Node, Not, PeopleCondition, Rule, SegmentCondition


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes right below a node, those of a crossing to companies or people too."""
    if isinstance(node, AllOf | AnyOf):
        return node.children
    if isinstance(node, Not):
        return (node.child,)
    if isinstance(node, AccountCondition):
        return (node.account,)
    if isinstance(node, PeopleCondition) and node.who is not None:
        return (node.who,)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, in their order."""
    yield node
    for child in children(node):
        yield from walk(child)


def segments_named(rule: Rule) -> frozenset[str]:
    """Return the keys of the segments that a rule names, those of profiles and of accounts."""
    named = (node.segments for node in walk(rule.root) if isinstance(node, SegmentCondition))
    return frozenset(key for keys in named for key in keys)
