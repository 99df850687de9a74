"""A rule as English for people (rules.md 2.18), wherever it is named."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

from segments.rules import phrases
from segments.rules.event_words import ANYTHING, STANDARD, EventWords, displayed, unnamed
from segments.rules.fields import field_of
from segments.rules.tree import (
    ANY_EVENT,
    DAY,
    VISIT,
    WEEKDAYS,
    AccountCondition,
    AllOf,
    AnyOf,
    AttributeCondition,
    BucketCondition,
    ChangeCondition,
    ConsentCondition,
    ContextFilter,
    EventCondition,
    Events,
    FavouriteCondition,
    Filter,
    IdentityCondition,
    IsMember,
    ItemsCondition,
    Joined,
    Left,
    NearCondition,
    Node,
    Not,
    PeopleCondition,
    PersonCondition,
    PropertyFilter,
    Rule,
    SegmentCondition,
    SequenceCondition,
    SituationCondition,
    Step,
    TimeCondition,
)
from segments.rules.values import AT_LEAST_ONCE, Aggregate, Amount, Count, CountTest, Distinct, Name, ValueTest
from segments.rules.windows import Ever, Window
from segments.rules.writing import clock_time

_IDENTITIES = {
    "browser": ("a browser", "browsers"),
    "customer_id": ("a customer id", "customer ids"),
    "email": ("an email address", "email addresses"),
    "phone": ("a phone number", "phone numbers"),
    "device": ("a device", "devices"),
}
_AMOUNTS = {"sum": "sum of", "avg": "average", "min": "lowest", "max": "highest"}
_OF_DISTINCT: dict[Name, tuple[str, str]] = {(DAY,): ("on", "different day"), (VISIT,): ("in", "different visit")}
_VALUE_CONDITIONS = (AttributeCondition, SituationCondition, ConsentCondition)


@dataclass(frozen=True)
class English:
    """An advertiser's way to say rules: the display names of its events, and for how many days they are kept."""

    display_names: Mapping[str, str] = field(default_factory=dict)
    retention_days: int | None = None

    def sentence(self, rule: "Rule | Node") -> str:
        """Return a rule, or a part of one, as a sentence without its full stop."""
        said = self.say(rule.root if isinstance(rule, Rule) else rule)
        return said[:1].upper() + said[1:]

    @singledispatchmethod
    def say(self, node: Any) -> str:
        """Return a node in lower case, to stand inside a sentence."""
        raise TypeError(node)

    @say.register
    def _(self, node: AllOf) -> str:  # type: ignore[type-arg]  # of conditions
        return self._joined(node.children, " and ")

    @say.register
    def _(self, node: AnyOf) -> str:  # type: ignore[type-arg]
        return self._joined(node.children, " or ")

    def _joined(self, nodes: tuple[Node, ...], between: str) -> str:
        if len(nodes) == 1:
            return self.say(nodes[0])
        return between.join(map(self._in_brackets, nodes))

    def _in_brackets(self, node: Node) -> str:
        """Return a node, in brackets where its end would not be seen."""
        is_open_ended = isinstance(node, AllOf | AnyOf | Not | AccountCondition | PeopleCondition)
        return f"({self.say(node)})" if is_open_ended else self.say(node)

    @say.register
    def _(self, node: Not) -> str:  # type: ignore[type-arg]
        child = self._in_brackets(node.child)
        if isinstance(node.child, _VALUE_CONDITIONS) and node.child.test.operator != "known":
            return f"not: {child} (so also where it is unknown)"
        return f"not: {child}"

    # Events.

    @say.register
    def _(self, node: EventCondition) -> str:
        when, where = self._when(node.window, node), self._where(node.events)
        words = self._words(node.events)
        if node.which != "any":
            return _line(node.which, words.past, where, when)
        return self._counted(node.aggregate, words, where, when)

    def again(self, node: EventCondition) -> str:
        """Return what one more of its events would be: "view a product in shoes again"."""
        words = self._words(node.events)
        return _line(words.base, self._where(node.events), "again") if words.base else "do it again"

    def _counted(self, aggregate: Aggregate, words: EventWords, where: str, when: str) -> str:
        match aggregate:
            case Count(CountTest(operator="none")):
                return _line(_did_not(words), where, when) if when else _line("never", words.past, where)
            case Count(test):
                return _line(words.past, where, "" if aggregate == AT_LEAST_ONCE else phrases.times(test), when)
            case Distinct(of, test):
                on, what = _OF_DISTINCT.get(of, ("with", "different value"))
                name = "" if of in _OF_DISTINCT else f"of {_name(of)}"
                return _line(words.past, where, on, phrases.count_of(test, what), name, when)
            case Amount("sum", ("total",), test):
                return _line(words.plural, where, when, "add up to", phrases.amount(test))
            case Amount(kind, of, test):
                return _line(f"the {_AMOUNTS[kind]} {_name(of)} of", words.plural, where, when, phrases.test(test))
        raise TypeError(aggregate)

    def _words(self, events: Events) -> EventWords:
        """Return the forms of one event, or of any of several."""
        if events.names == ANY_EVENT:
            return ANYTHING
        forms = [self._words_of(name) for name in events.names]
        if len(forms) == 1:
            return forms[0]
        has_bases = all(form.base for form in forms)
        return EventWords(
            phrases.listed([form.past for form in forms], "or"),
            phrases.listed([form.base for form in forms], "or") if has_bases else "",
            phrases.listed([form.plural for form in forms], "or"),
            phrases.listed([form.noun for form in forms], "or"),
        )

    def _words_of(self, name: str) -> EventWords:
        if name in self.display_names:
            return displayed(name, self.display_names[name])
        return STANDARD.get(name) or unnamed(name)

    def _where(self, events: Events) -> str:
        """Return the filters: "in shoes" for a category, the others after "where"."""
        plain, others = "", []
        for one in events.where:
            if isinstance(one, PropertyFilter) and one.property == ("category",) and _is_plain_equals(one.test):
                plain = f"in {phrases.value(one.test.operand)}"
            else:
                others.append(self._filter(one))
        return _line(plain, f"where {' and '.join(others)}" if others else "")

    def _filter(self, node: Filter) -> str:
        match node:
            case AllOf(children):
                return f"({' and '.join(map(self._filter, children))})"
            case AnyOf(children):
                return f"({' or '.join(map(self._filter, children))})"
            case Not(child):
                return f"not ({self._filter(child)})"
            case ContextFilter(name, test):
                return f"{_field(name)} {phrases.test(test)}"
            case PropertyFilter(name, test):
                return f"{_name(name)} {phrases.test(test)}"
        raise TypeError(node)

    def _when(self, window: Window, node: Any) -> str:
        """Return the window; of all time, as far back as events are kept."""
        if isinstance(window, Ever):
            return f"in the last {self.retention_days:,} days" if self.retention_days else ""
        return _line(phrases.window(window), _clock(node))

    @say.register
    def _(self, node: SequenceCondition) -> str:
        parts = [self._step(step, node, index) for index, step in enumerate(node.steps)]
        when = "" if isinstance(node.window, Ever) and not self.retention_days else self._when(node.window, node)
        shared = [_name(name) for name in node.same if name != ("product_id",)]
        more = [
            f"with the same {' and '.join(shared)}" if shared else "",
            "all in one visit" if node.is_same_visit else "",
            f"all within {phrases.length(node.within)}" if node.within else "",
            f"completed {when}" if when else "",
        ]
        return ", ".join(part for part in (*parts, *more) if part)

    def _step(self, step: Step, node: SequenceCondition, index: int) -> str:
        words, where = self._words(step.events), self._where(step.events)
        within = f"within {phrases.length(step.within)}" if step.within else ""
        if step.is_absent:
            return _line("then" if within else "but", _did_not(words), where, within or "since")
        if index == 0:
            return _line("last" if step.is_newest else "", words.past, where)
        without = ""
        if step.without is not None:
            noun = self._words(step.without).noun
            without = _line(f"with no {noun}", self._where(step.without), "in between")
        return _line("then", words.past, "it" if ("product_id",) in node.same else "", where, within, without)

    @say.register
    def _(self, node: ChangeCondition) -> str:
        words = self._words(node.events)
        what = (
            f"the number of {words.plural}" if node.sum is None else f"the sum of {_name(node.sum)} of {words.plural}"
        )
        to, before = (self._when(window, node) or "ever" for window in (node.to, node.before))
        change = f"changed by {phrases.amount(node.test)} percent"
        return f"{_line(what, self._where(node.events), to)}, against that {before}, {change}"

    @say.register
    def _(self, node: FavouriteCondition) -> str:
        words, when = self._words(node.events), self._when(node.window, node)
        by = f", by {_name(node.sum)}," if node.sum is not None else ""
        return (
            _line(f"the favourite {_name(node.property)} of", words.plural, when) + f"{by} {phrases.test(node.test)}"
        )

    # What is known.

    @say.register
    def _(self, node: AttributeCondition) -> str:
        since = f"for at least {phrases.length(node.for_at_least)}" if node.for_at_least else ""
        return _line(_name(node.attribute), phrases.test(node.test), since, _clock(node))

    @say.register
    def _(self, node: ItemsCondition) -> str:
        where = f"where {' and '.join(map(self._filter, node.where))}" if node.where else ""
        items, aggregate = _name(node.items), node.aggregate
        match aggregate:
            case Count(test):
                return _line(items, "has", phrases.count_of(test, "line"), where)
            case Distinct(of, test):
                return _line(items, "has", phrases.count_of(test, "different value"), f"of {_name(of)}", where)
            case Amount(kind, of, test):
                return _line(f"the {_AMOUNTS[kind]} {_name(of)} in {items}", where, phrases.test(test))

    @say.register
    def _(self, node: IdentityCondition) -> str:
        partner = node.kind.removeprefix("partner:")
        one, many = _IDENTITIES.get(node.kind, (f"an id of {partner}", f"ids of {partner}"))
        if isinstance(node.test, CountTest):
            return f"has {phrases.count_of(node.test, one.partition(' ')[2], many)}"
        if node.test.operator == "known":
            return f"has {one}" if node.test.operand else f"has no {many}"
        return f"has {one} that {phrases.test(node.test)}"

    @say.register
    def _(self, node: PersonCondition) -> str:
        return "is known by a customer id, email or phone" if node.state == "known" else "is anonymous"

    @say.register
    def _(self, node: ConsentCondition) -> str:
        if node.test.operator == "known":
            return f"has {'decided' if node.test.operand else 'not decided'} about {node.purpose}"
        return f"has {'granted' if node.test.operand == 'granted' else 'denied'} {node.purpose}"

    @say.register
    def _(self, node: SituationCondition) -> str:
        first = {"last": "", "first": "first ", "this_visit": ""}[node.seen]
        visit = "in this visit" if node.seen == "this_visit" else ""
        return _line(f"{first}{_field(node.field)}", phrases.test(node.test), visit, _seen_when(node))

    @say.register
    def _(self, node: NearCondition) -> str:
        seen = {"last": "was last", "first": "was first", "this_visit": "in this visit was"}[node.seen]
        km, lat, lon = map(phrases.number, (node.km, node.lat, node.lon))
        return _line(f"{seen} within {km} km of {lat}, {lon}", _seen_when(node))

    # Time, chance, segments, companies and people.

    @say.register
    def _(self, node: TimeCondition) -> str:
        days = (
            "every day"
            if node.days == WEEKDAYS
            else f"on {phrases.listed([day.title() for day in node.days], 'and')}"
        )
        return _line(f"it is between {clock_time(node.start)} and {clock_time(node.end)}", days, _clock(node))

    @say.register
    def _(self, node: SegmentCondition) -> str:
        segments, asks = phrases.listed([phrases.value(key) for key in node.segments], "or"), node.asks
        if isinstance(asks, IsMember):
            return _member(asks, segments)
        when = phrases.window(asks.window)
        if isinstance(asks, Joined | Left):
            return _line("joined" if isinstance(asks, Joined) else "left", segments, when, _clock(node))
        return _line("was in" if when else "was ever in", segments, when)

    @say.register
    def _(self, node: BucketCondition) -> str:
        salt = f", drawn by {phrases.value(node.salt)}" if node.salt else ""
        return f"is in the share from {node.lower / 100:g} to {node.upper / 100:g} percent{salt}"

    @say.register
    def _(self, node: AccountCondition) -> str:
        return f"belongs to a company for which: {self.say(node.account)}"

    @say.register
    def _(self, node: PeopleCondition) -> str:
        who = self.say(node.who) if node.who is not None else ""
        if isinstance(node.people, CountTest):
            people = phrases.count_of(node.people, "person", "people")
            return f"has {people}" + (f" for whom: {who}" if who else "")
        if not who:
            return "has people, and none" if node.people == "none" else "has people"
        how_many = {"any": "some", "all": "all", "none": "none"}[node.people]
        return f"of its people, for {how_many}: {who}"


def _member(asks: IsMember, segments: str) -> str:
    since = f"for at least {phrases.length(asks.for_at_least)}" if asks.for_at_least else ""
    value = f"with a value that {phrases.test(asks.value)}" if asks.value else ""
    added = f"last added {phrases.window(asks.last_added) or 'ever'}" if asks.last_added else ""
    if not asks.is_in:
        return f"is not in {segments}"
    return _line("has been in" if since else "is in", segments, since, value, added)


def _did_not(words: EventWords) -> str:
    return f"did not {words.base}" if words.base else f"has not {words.past}"


def _is_plain_equals(test: ValueTest) -> bool:
    return test.operator == "equals" and not test.is_exact_case and test.pick == "any"


def _seen_when(node: SituationCondition | NearCondition) -> str:
    return "" if isinstance(node.window, Ever) else f"seen {phrases.window(node.window)}"


def _clock(node: Any) -> str:
    """Return whose clock it is, where a condition follows another than its rule."""
    if node.zone is None:
        return ""
    clocks = {"visitor": "on the visitor's clock", "advertiser": "on our clock"}
    return clocks.get(node.zone, f"on the clock of {node.zone}")


def _name(steps: Name) -> str:
    return phrases.name(steps)


def _field(name: Name) -> str:
    found = field_of(name)
    return found.label if found else _name(name)


def _line(*parts: str) -> str:
    """Return the parts that say something, as a line."""
    return " ".join(part for part in parts if part)
