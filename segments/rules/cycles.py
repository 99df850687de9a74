"""Segments that use segments: never in a circle, and not too deep (rules.md 1.6 and 2.11)."""

from segments.rules.catalogue import Catalogue
from segments.rules.nodes import walk
from segments.rules.refusals import Report
from segments.rules.tree import Rule, SegmentCondition


def refuse_cycles(rule: Rule, catalogue: Catalogue, report: Report, *, most_deep: int, own_key: str | None) -> None:
    """Refuse each condition whose segment leads back to `own_key`, or down too far."""
    depths: dict[str, int] = {}
    for node in walk(rule.root):
        for key in node.segments if isinstance(node, SegmentCondition) else ():
            chain = _chain(key, own_key, catalogue)
            if chain is not None:
                report.refuse((*node.path, "segment"), "cycle", chain=_words([own_key or "", *chain]))
            elif (depth := _depth(key, catalogue, depths)) > most_deep:
                report.refuse(
                    (*node.path, "segment"), "too_many", found=depth, things="levels of segments", most=most_deep
                )


def _chain(key: str, own_key: str | None, catalogue: Catalogue) -> list[str] | None:
    """Return the segments from `key` to `own_key`, both included, or None where none leads there."""
    came_from: dict[str, str | None] = {key: None}
    waiting = [key]
    for at in waiting:
        if at == own_key:
            return _way(at, came_from)
        for used in catalogue.segments_used_by(at):
            if used not in came_from:
                came_from[used] = at
                waiting.append(used)
    return None


def _way(end: str, came_from: dict[str, str | None]) -> list[str]:
    way: list[str] = []
    at: str | None = end
    while at is not None:
        way.append(at)
        at = came_from[at]
    return way[::-1]


def _depth(key: str, catalogue: Catalogue, depths: dict[str, int]) -> int:
    """Return how many segments stand below one another from `key` on. What is stored has no circle."""
    if key not in depths:
        depths[key] = 0  # also ends the walk should one be stored all the same
        depths[key] = 1 + max(
            (_depth(used, catalogue, depths) for used in catalogue.segments_used_by(key)), default=0
        )
    return depths[key]


def _words(chain: list[str]) -> str:
    """Return "'vip' uses 'buyers', which uses 'vip'"."""
    first, *others = [f"'{key}'" for key in chain]
    return f"{first} uses " + ", which uses ".join(others)
