"""A rule that somebody is writing: what it says, what is wrong with it, and what is worth knowing."""

from dataclasses import dataclass

from segments.knowledge import read_rule
from segments.rules.english import English
from segments.rules.refusals import Problem, RuleRefused
from segments.rules.timeline import Surroundings, Uncompilable, compile_rule
from segments.rules.tree import Rule
from segments.rules.writing import write


@dataclass(frozen=True)
class Checked:
    """Either there are problems, or there is a rule, with its sentence and its saved form."""

    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    rule: Rule | None = None
    sentence: str | None = None
    saved: str | None = None

    @property
    def is_accepted(self) -> bool:
        return self.rule is not None


def check(text: str, advertiser_id: int, surroundings: Surroundings, *, own_key: str | None = None) -> Checked:
    """Return what an advertiser should know about a rule."""
    try:
        reading = read_rule(text, advertiser_id, surroundings, own_key=own_key)
    except RuleRefused as refused:
        return Checked(refused.problems)
    try:
        compile_rule(reading.rule, surroundings)
    except Uncompilable as error:
        return Checked((Problem((), "uncompilable", str(error)),))
    said = english_of(surroundings).sentence(reading.rule)
    return Checked((), reading.notes, reading.rule, said, write(reading.rule))


def english_of(surroundings: Surroundings) -> English:
    """Return how an advertiser says its rules."""
    kept = surroundings.retention
    return English(retention_days=kept.days if kept else None)
