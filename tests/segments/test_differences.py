"""What differs between two rules, as people read it."""

import pytest

from segments.admin.differences import MOST_WORDS, lines_between, words_between

LINES = [f"line {number}" for number in range(9)]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("a b c", "a b c", [("same", "a b c")]),
        ("in 7 days", "in 14 days", [("same", "in"), ("gone", "7"), ("new", "14"), ("same", "days")]),
        ("a", "a and b", [("same", "a"), ("new", "and b")]),
        ("a and b", "b", [("gone", "a and"), ("same", "b")]),
        ("", "a", [("new", "a")]),
        ("a", "", [("gone", "a")]),
    ],
)
def test_words(old: str, new: str, found: list[tuple[str, str]]) -> None:
    assert words_between(old, new) == found


def test_a_sentence_that_is_too_long_is_not_compared() -> None:
    assert words_between("a " * (MOST_WORDS + 1), "a") == []


def test_lines_stand_with_two_around_and_the_others_are_left_out() -> None:
    new = "\n".join([*LINES[:4], "another", *LINES[5:]])
    assert lines_between("\n".join(LINES), new) == [
        ("same", ""),
        ("same", "line 2"),
        ("same", "line 3"),
        ("gone", "line 4"),
        ("new", "another"),
        ("same", "line 5"),
        ("same", "line 6"),
        ("same", ""),
    ]


def test_few_lines_are_shown_whole() -> None:
    assert lines_between("a\nb", "a\nc") == [("same", "a"), ("gone", "b"), ("new", "c")]
