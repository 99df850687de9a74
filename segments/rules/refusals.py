"""Why a rule is refused, and what its author should know: each with its place in the JSON and the remedy (rules.md
2.17)."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from segments.rules.tree import Path

# One row for each thing that can be wrong. `{hint}` is empty, or a sentence with a space before it.
REFUSALS = {
    "not_json": "This is no JSON: {why}.",
    "bad_text": "A text here has a character that cannot be stored. Remove it.",
    "not_an_object": "This must be written as {{…}}, not as {found}.",
    "not_a_list": "'{key}' needs a list: […].",
    "repeated_key": "'{key}' stands here twice. Remove one.",
    "unknown_key": "'{key}' means nothing here.{hint}",
    "missing_key": "'{key}' is missing here.{hint}",
    "bad_version": "muster_rule {found} is not known. This Muster reads version {known}.",
    "empty_group": "This group has no conditions. Add one or remove the group.",
    "empty_list": "This list is empty. Name a value; an empty list does not mean all.",
    "no_condition": "This asks nothing.{hint}",
    "two_things": "This condition asks two things. Put the second into its own.",
    "no_test": "This condition has no test. Add one of {tests}.",
    "unknown_test": "'{key}' is no test on {plural}.{hint}",
    "wrong_type": "{what}; '{key}' needs {needs}. Use {remedy} or another {kind}.",
    "wrong_value": "'{key}' needs {needs}.",
    "blank_text": "A blank text is never known, so '{key}' would find nobody. Use 'known': false.",
    "hours_on_days": "'{name}' has days, no times. Use days, such as '2d'.",
    "no_duration": "'{found}' is no duration. Write a whole number and min, h, d or w, such as '7d'.{hint}",
    "no_fixed_length": "'{found}' has no fixed length. Use '{days}d', or calendar 'this_{period}'.",
    "bad_order": "Nearest first: [{first}, {second}].",
    "bad_pair": "Two that differ, the smaller first: [{first}, {second}].",
    "no_day": "'{found}' is no day. Write it as '2026-05-01'.",
    "no_instant": "'{found}' is no instant. Write it with its offset, as '2026-05-01T10:00:00Z'.",
    "no_clock_time": "'{found}' is no time of day. Write it as '09:00', from '00:00' to '24:00'.",
    "no_zone": "No time zone '{found}'.{hint}",
    "not_on_events": "'{key}' asks about dates, not about events.{hint}",
    "not_on_dates": "'{key}' asks about events, not about dates.{hint}",
    "too_short": "{found} is too short. A window has at least 1 minute.",
    "too_long": "{found} is too long. A window has at most {most:,} days.",
    "beyond_retention": "Events are kept for {kept:,} days; {asked:,} days cannot be answered. Use {kept}d or less.",
    "too_many": "{found:,} {things}; {most:,} are allowed.{hint}",
    "too_few": "{things}: at least {least}.",
    "bad_pattern": "'{found}' {why}. Allowed are letters, . [] () | * + ? {{2,5}} ^ $ and \\d \\w \\s.",
    "bad_name": "'{found}' is no name. Write its steps with dots, such as 'products[].category'.",
    "no_field": "There is no field '{found}'.{hint}",
    "no_kind": "There is no kind of identifier '{found}'.{hint}",
    "not_here": "{what} has no meaning in {where}.{hint}",
    "two_crossings": "A rule goes from people to their companies, or back, once. Take out this '{key}'.",
    "no_count_of_one": "The {which} event is one: it has no {key}. Leave out 'which' or '{key}'.",
    "no_segment": "There is no segment '{found}'.{hint}",
    "cycle": "{chain}. Remove one of the two.",
}

# Notes: they do not prevent saving.
NOTES = {
    "event_never_seen": "No event '{found}' in the last 90 days{hint}.",
    "attribute_never_seen": "Nobody has an attribute '{found}' yet.{hint}",
    "nobody": "{both} stand in one ALL group: nobody can match.",
}


class Problem(NamedTuple):
    """One thing that is wrong, or worth knowing: where, a key of the tables above, and the sentence for people."""

    path: Path
    code: str
    message: str

    @property
    def place(self) -> str:
        """Return the place as people read it: rule.all_of[0].where[1]."""
        return place(self.path)


class RuleRefused(Exception):
    """A rule with everything that is wrong with it. Nothing of it was kept."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{problem.place}: {problem.message}" for problem in problems))


class Report:
    """What was found while a rule is read. Reading goes on, so that its author learns everything at once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []

    def refuse(self, path: Path, code: str, **values: object) -> None:
        self.problems.append(Problem(path, code, REFUSALS[code].format(**{"hint": "", **values})))

    def note(self, path: Path, code: str, **values: object) -> None:
        self.notes.append(Problem(path, code, NOTES[code].format(**{"hint": "", **values})))


def place(path: Path) -> str:
    """Return a path as text; the whole rule is "the rule"."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return steps.removeprefix(".") or "the rule"


def closest(word: str, words: Iterable[str]) -> str | None:
    """Return the word that was probably meant, or None."""
    by_lower = {known.lower(): known for known in words}
    found = get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return the hint for a word that is not known: the closest one, or up to twelve that are."""
    listed = list(words)
    if near := closest(word, listed):
        return f" Did you mean '{near}'?"
    return f" Known are {', '.join(listed)}." if 0 < len(listed) <= 12 else ""
