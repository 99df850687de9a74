"""What is not known to the compiler raises, and never lets anybody in."""

from dataclasses import dataclass, replace

import pytest

from segments.rules import tree
from segments.rules.timeline import RuledSegment, Surroundings, Uncompilable, compile_rule
from segments.rules.tree import AllOf, AnyOf, AttributeCondition, EventCondition, Events, Not, Rule, SegmentCondition
from segments.rules.values import Amount, Count, CountTest, ValueTest
from segments.rules.windows import Calendar, Duration, ThisVisit, WithinNext

VIEW = EventCondition(Events(("view",)))
PLAN = AttributeCondition(("plan",), ValueTest("equals", "gold", "text"))
MEMBER = SegmentCondition(("a",), tree.IsMember(is_in=True))


@dataclass(frozen=True)
class Unheard:
    """A thing that no version of the language knows."""


@pytest.mark.parametrize(
    "node",
    [
        AllOf(()),
        AnyOf(()),
        Not(AllOf(())),
        Unheard(),
        AllOf((VIEW, Unheard())),
        EventCondition(Events(())),
        EventCondition(Events(("view", "*"))),
        EventCondition(Events(("view",), (Unheard(),))),
        EventCondition(Events(("view",), (AllOf(()),))),
        replace(VIEW, window=Unheard()),
        replace(VIEW, window=WithinNext(Duration(1, "d"))),
        replace(VIEW, window=Calendar(1, "day")),
        replace(VIEW, aggregate=Unheard()),
        replace(VIEW, aggregate=Count(CountTest("between", 3, 2))),
        replace(VIEW, aggregate=Amount("median", ("total",), ValueTest("at_least", 1, "number"))),
        replace(VIEW, aggregate=Amount("sum", ("total",), ValueTest("equals", "x", "text"))),
        replace(PLAN, test=ValueTest("at_leats", "gold", "text")),
        replace(PLAN, test=ValueTest("at_least", "gold", "text")),
        replace(PLAN, test=ValueTest("one_of", (), "text")),
        replace(PLAN, test=ValueTest("matches", "(", "text")),
        replace(PLAN, test=ValueTest("equals", None, "text")),
        replace(PLAN, test=ValueTest("on", Unheard(), "date")),
        replace(PLAN, test=ValueTest("within", ThisVisit(), "date")),
        tree.SequenceCondition((tree.Step(Events(("a",))),)),
        tree.PersonCondition("unheard"),
        tree.ConsentCondition("advertising", ValueTest("equals", "perhaps", "text")),
        tree.BucketCondition(50, 25),
        tree.TimeCondition(days=()),
        tree.SituationCondition(("place", "country"), PLAN.test, seen="never"),
        tree.PeopleCondition("any"),
        MEMBER,
        replace(MEMBER, segments=()),
        replace(MEMBER, segments=("r",), asks=Unheard()),
    ],
    ids=repr,
)
def test_the_whole_rule_is_refused(node):
    around = Surroundings(segments={"r": RuledSegment(1, Rule("profile", VIEW), "r")})
    with pytest.raises(Uncompilable):
        compile_rule(Rule("profile", node), around)


def test_a_segment_that_uses_itself_is_refused():
    loop = RuledSegment(1, Rule("profile", MEMBER), "a")
    with pytest.raises(Uncompilable, match="'a'"):
        compile_rule(Rule("profile", MEMBER), Surroundings(segments={"a": loop}))


def test_a_segment_of_accounts_is_none_of_profiles():
    other = RuledSegment(1, Rule("account", VIEW), "a")
    with pytest.raises(Uncompilable):
        compile_rule(Rule("profile", MEMBER), Surroundings(segments={"a": other}))


def test_each_node_has_a_timeline_of_its_own_by_its_place():
    one, other = replace(VIEW, path=("rule", "all_of", 0)), replace(PLAN, path=("rule", "all_of", 1))
    compiled = compile_rule(Rule("profile", AllOf((one, other), path=("rule",))), Surroundings())
    assert set(compiled.nodes) == {("rule",), one.path, other.path}
    assert compiled.nodes[other.path].text in compiled.sql
