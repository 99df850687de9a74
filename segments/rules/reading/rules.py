"""JSON text to a checked tree, or every reason why not (rules.md 1 and 2.17).

A rule that is doubtful is refused as a whole: no unknown name, key or test ever widens one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from segments.rules.catalogue import Anything, Catalogue
from segments.rules.contradictions import note_contradictions
from segments.rules.cycles import refuse_cycles
from segments.rules.limits import Limits
from segments.rules.nodes import walk
from segments.rules.reading import conditions, events
from segments.rules.reading.forms import Form, Scope, load, open_form
from segments.rules.reading.values import read_count_test
from segments.rules.reading.windows import read_zone
from segments.rules.refusals import Problem, Report, RuleRefused, did_you_mean
from segments.rules.tree import (
    VERSION,
    AccountCondition,
    AllOf,
    AnyOf,
    Node,
    Not,
    Of,
    Path,
    PeopleCondition,
    PersonCondition,
    Rule,
)


class Reading(NamedTuple):
    """A rule, and notes that its author should see before it is saved."""

    rule: Rule
    notes: tuple[Problem, ...]


def read(
    text: str, catalogue: Catalogue | None = None, *, limits: Limits | None = None, own_key: str | None = None
) -> Reading:
    """Return the rule that a JSON text says; raise `RuleRefused` with everything that is wrong with it.

    `own_key` is the key of the segment whose rule it is to be, so that a cycle is found before it exists.
    """
    report, limits = Report(), limits or Limits()
    scope = Scope(report, limits, catalogue or Anything(), of="profile")
    source = load(text, report, limits)
    if report.problems:
        raise RuleRefused(report.problems)
    rule = _envelope(source, scope)
    if not report.problems:
        refuse_cycles(rule, scope.catalogue, report, most_deep=limits.segment_depth, own_key=own_key)
        note_contradictions(rule, report)
    if report.problems:
        raise RuleRefused(report.problems)
    return Reading(rule, tuple(report.notes))


def _envelope(source: Any, scope: Scope) -> Rule:
    form = open_form(source, (), scope, ("muster_rule", "of", "zone", "rule"))
    form.refuse_unknown()
    version = form.source.get("muster_rule")
    if version != VERSION or isinstance(version, bool):
        form.refuse("muster_rule", "bad_version", found=version, known=VERSION)
    if "of" not in form:
        form.refuse("of", "missing_key", hint=" Write 'profile' or 'account'.")
    is_of_accounts = form.word("of", ("profile", "account"), "profile") == "account"
    of: Of = "account" if is_of_accounts else "profile"
    if "rule" not in form:
        form.refuse("rule", "missing_key", hint=" It holds the group or condition.")
        return Rule(of, PersonCondition(state="known"))
    inner = Scope(scope.report, scope.limits, scope.catalogue, of)
    rule = Rule(of, read_node(form.source["rule"], ("rule",), inner), read_zone(form, "advertiser") or "advertiser")
    if (found := sum(1 for _ in walk(rule.root))) > scope.limits.nodes:
        hint = " A list of values can replace many."
        form.refuse("rule", "too_many", found=found, things="conditions", most=scope.limits.nodes, hint=hint)
    return rule


def read_node(source: Any, path: Path, scope: Scope) -> Node:
    """Return a group or a condition."""
    named = [kind for kind in KINDS if kind in source] if isinstance(source, dict) else []
    if "favourite" in named and "event" in named:
        named.remove("event")  # a key of its own
    if len(named) == 1 and scope.depth <= scope.limits.depth:
        kind = KINDS[named[0]]
        if kind.of is None or kind.of == scope.of:
            return kind.read(source, path, scope)
        hint = " Put it into 'who' of a 'people' condition." if scope.of == "account" else ""
        where = "a rule about accounts" if scope.of == "account" else "a rule about profiles"
        scope.report.refuse(path, "not_here", what=f"'{named[0]}'", where=where, hint=hint)
    else:
        _refuse_node(source, path, scope, named)
    return PersonCondition(path=path, state="known")


def _refuse_node(source: Any, path: Path, scope: Scope, named: list[str]) -> None:
    form = open_form(source, path, scope, KINDS)
    if len(named) > 1:
        scope.report.refuse(path, "two_things")
    elif named:
        scope.report.refuse(path, "too_many", found=scope.depth, things="levels", most=scope.limits.depth)
    elif isinstance(source, dict):
        scope.report.refuse(path, "no_condition", hint=_kind_hint(form))


def _kind_hint(form: Form) -> str:
    for key in ("property", "context"):
        if key in form:
            return f" '{key}' stands in the 'where' of an event."
    hint = did_you_mean(form.unknown[0], KINDS) if form.unknown else ""
    return hint or " Write what it is about, such as 'event'."


def _group(source: Any, path: Path, scope: Scope) -> Node:
    key = "all_of" if "all_of" in source else "any_of"
    form = open_form(source, path, scope, (key, "note"))
    form.refuse_unknown()
    sources = form.children(key)
    if not sources and isinstance(source[key], list):
        scope.report.refuse(form.at(key), "empty_group")
    if len(sources) > scope.limits.nodes:
        form.refuse(key, "too_many", found=len(sources), things="conditions", most=scope.limits.nodes)
        sources = sources[:1]
    inner = scope.deeper()
    children = tuple(read_node(child, (*form.at(key), at), inner) for at, child in enumerate(sources))
    return (AllOf if key == "all_of" else AnyOf)(path=path, note=_note(form), children=children)


def _not(source: Any, path: Path, scope: Scope) -> Node:
    form = open_form(source, path, scope, ("not", "note"))
    form.refuse_unknown()
    return Not(path=path, note=_note(form), child=read_node(source["not"], form.at("not"), scope.deeper()))


def _note(form: Form) -> str:
    return form.text("note", most=form.scope.limits.note)


def _account(source: Any, path: Path, scope: Scope) -> AccountCondition:
    form = open_form(source, path, scope, ("account", *events.CONDITION_KEYS))
    form.refuse_unknown()
    inner = _across(form, "account", "account")
    return AccountCondition(**events.common(form), account=read_node(source["account"], form.at("account"), inner))


def _people(source: Any, path: Path, scope: Scope) -> PeopleCondition:
    form = open_form(source, path, scope, ("people", "who", *events.CONDITION_KEYS))
    form.refuse_unknown()
    value = form.source["people"]
    words: dict[str, Any] = {"any": "any", "all": "all", "none": "none"}
    if isinstance(value, dict):
        people = read_count_test(value, form.at("people"), scope)
    else:
        people = words[form.word("people", tuple(words), "any")]
    inner = _across(form, "people", "profile")
    who = read_node(form.source["who"], form.at("who"), inner) if "who" in form else None
    return PeopleCondition(**events.common(form), people=people, who=who)


def _across(form: Form, key: str, of: Of) -> Scope:
    """Return the scope beyond a crossing; there is one each way."""
    if key in form.scope.crossings:
        form.refuse(key, "two_crossings")
    return form.scope.across(key, of)


class _Kind(NamedTuple):
    """How a kind of node is read, and in rules of whom it stands; None is in both."""

    read: Callable[[Any, Path, Scope], Node]
    of: Of | None = None


KINDS: dict[str, _Kind] = {
    "all_of": _Kind(_group),
    "any_of": _Kind(_group),
    "not": _Kind(_not),
    "event": _Kind(events.read_event),
    "sequence": _Kind(events.read_sequence),
    "change": _Kind(events.read_change),
    "favourite": _Kind(events.read_favourite),
    "attribute": _Kind(conditions.read_attribute),
    "items": _Kind(conditions.read_items),
    "identity": _Kind(conditions.read_identity, "profile"),
    "person": _Kind(conditions.read_person, "profile"),
    "consent": _Kind(conditions.read_consent, "profile"),
    "situation": _Kind(conditions.read_situation, "profile"),
    "near": _Kind(conditions.read_near, "profile"),
    "time": _Kind(conditions.read_time),
    "segment": _Kind(conditions.read_segment),
    "bucket": _Kind(conditions.read_bucket),
    "account": _Kind(_account, "profile"),
    "people": _Kind(_people, "account"),
}
