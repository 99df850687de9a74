"""What differs between two texts, for people: word by word in a sentence, line by line in a rule's JSON."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

Sign = Literal["same", "gone", "new"]

# Equal lines around a change; more are left out. One condition is a line.
LINES_AROUND = 2
# A sentence of so many words is told by its JSON instead: to compare words takes the square of their number.
MOST_WORDS = 2_000


class Piece(NamedTuple):
    """Words, or one line, that both texts have, or only the old one (gone) or the new one (new)."""

    sign: Sign
    text: str


def words_between(old: str, new: str) -> list[Piece]:
    """Return the new sentence with what is gone from the old one at its place; nothing where they are too long."""
    before, after = old.split(), new.split()
    if max(len(before), len(after)) > MOST_WORDS:
        return []
    return [Piece(sign, " ".join(some)) for sign, some in _runs(before, after)]


def lines_between(old: str, new: str) -> list[Piece]:
    """Return the lines that differ with a few around them; a piece without text stands for lines left out."""
    pieces: list[Piece] = []
    runs = list(_runs(old.splitlines(), new.splitlines()))
    for place, (sign, some) in enumerate(runs):
        if sign != "same":
            pieces += [Piece(sign, line) for line in some]
            continue
        head = 0 if place == 0 else LINES_AROUND
        tail = 0 if place == len(runs) - 1 else LINES_AROUND
        shown = list(some) if len(some) <= head + tail else [*some[:head], "", *some[len(some) - tail :]]
        pieces += [Piece("same", line) for line in shown]
    return pieces


def _runs(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[Sign, Sequence[str]]]:
    for does, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new).get_opcodes():
        if does == "equal":
            yield "same", new[new_from:new_to]
            continue
        if old_from < old_to:
            yield "gone", old[old_from:old_to]
        if new_from < new_to:
            yield "new", new[new_from:new_to]
