"""How few statements ask many rules, and what is left alone where somebody only stays in."""

import pytest

from audience.instants import instant
from segments import asking
from segments.models import Membership
from segments.rules.reading.rules import read
from segments.rules.timeline import Surroundings, compile_rule
from tests.segments.engine.scene import Shop, steps, sweep_at
from tests.segments.rules.asking import rule_text
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db


def statements(*nodes):
    """Return how many statements ask rules about one person each."""
    compiled = [compile_rule(read(rule_text(node)).rule, Surroundings()) for node in nodes]
    questions = [asking.Question(number, 1, one, [bytes(16)]) for number, one in enumerate(compiled)]
    return len(next(asking.ask(questions, instant(at("05-01")))))


def viewed(name, length, count):
    return {"event": name, "window": {"within": length}, "count": {"at_least": count}}


def test_rules_that_differ_in_their_values_are_asked_by_one_statement():
    assert statements(viewed("view", "7d", 3), viewed("buy", "30d", 1), viewed("view", "7d", 3)) == 1
    assert statements(viewed("view", "7d", 3), {"not": viewed("view", "7d", 3)}) == 2


def test_a_list_is_sent_once_for_all_whom_it_concerns():
    def said(*names):
        return {"event": "view", "where": [{"property": "brand", "one_of": list(names)}]}

    assert statements(said("a", "b"), said("a", "b")) == 1
    assert statements(said("a", "b"), said("a", "c")) == 2


def test_who_stays_in_longer_is_looked_at_by_the_sweeper_at_the_old_end_and_stays():
    """The column by which the sweeper finds rows is indexed: to move it would cost every fact of a member three
    entries of indexes.
    """
    shop = Shop()
    segment = shop.segment("viewers", viewed("view", "7d", 1))
    shop.views("p", "05-01 10:00", "05-03 10:00")
    row = Membership.all_advertisers.get(segment=segment)
    assert (row.expires_at, row.sweep_at) == (at("05-10 10:00"), at("05-08 10:00"))
    sweep_at("05-09 10:00")
    row = Membership.all_advertisers.get(segment=segment)
    assert (row.expires_at, row.sweep_at) == (at("05-10 10:00"), at("05-10 10:00"))
    sweep_at("05-11 10:00")
    assert shop.steps(segment) == steps("join 05-01 10:00 fact, leave 05-10 10:00 time")
