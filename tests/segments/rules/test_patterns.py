"""Which regular expressions a rule may hold: those that mean the same everywhere and cannot run away."""

import pytest

from segments.rules.patterns import fold, problem_of


@pytest.mark.parametrize(
    "pattern", ["a", "^/shoes/[^/]+$", "[a-z]{2,3}?", r"\d+\.\d{2}", "(?:a|b)*", r"\$9", "é+", "[a^-]"]
)
def test_what_is_allowed(pattern):
    assert problem_of(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(?=a)b", "cannot be read from '(?=a)b' on"),
        (r"(a)\1", r"cannot be read from '\\1' on"),
        ("(?i)a", "cannot be read from '(?i)a' on"),
        (r"\bfoo", r"cannot be read from '\\bfoo' on"),
        ("[[:alpha:]]", "cannot be read from '[[:alpha:]]' on"),
        ("a++", "repeats nothing with '+'"),
        ("*a", "repeats nothing with '*'"),
        ("a{999}", "repeats more than 255 times"),
        ("(a", "has a bracket without its other one"),
        ("a)(", "has a bracket without its other one"),
        ("[z-a]", "cannot be read: bad character range z-a"),
    ],
)
def test_what_is_refused(pattern, problem):
    assert problem_of(pattern) == problem


def test_a_pattern_in_lower_case_keeps_what_a_backslash_means():
    assert fold(r"^Shoes\D[A-Z]") == r"^shoes\D[a-z]"
