"""Reads conditions about events: how many and how much, in which order, what changed, what is the favourite."""

from typing import Any, get_args

from segments.rules.fields import FIELDS, field_of
from segments.rules.reading.forms import Form, Scope, open_form
from segments.rules.reading.values import (
    AGGREGATES,
    TEST_KEYS,
    Subject,
    name_of,
    read_aggregate,
    read_as_number,
    read_name,
    read_value_test,
)
from segments.rules.reading.windows import read_duration, read_window, read_zone
from segments.rules.refusals import closest, did_you_mean
from segments.rules.tree import (
    ANY_EVENT,
    ATTRIBUTE_CHANGED,
    DAY,
    VISIT,
    AllOf,
    AnyOf,
    ChangeCondition,
    ContextFilter,
    EventCondition,
    Events,
    FavouriteCondition,
    Filter,
    Not,
    Path,
    PropertyFilter,
    SequenceCondition,
    Step,
    Which,
)
from segments.rules.values import AT_LEAST_ONCE, Name
from segments.rules.windows import ThisVisit

CONDITION_KEYS = ("note", "label", "zone")
GROUP_KEYS = ("all_of", "any_of", "not")


def common(form: Form) -> dict[str, Any]:
    """Return what every condition has: its place, note, label and clock."""
    limits = form.scope.limits
    return {
        "path": form.path,
        "note": form.text("note", most=limits.note),
        "label": form.text("label", most=limits.label),
        "zone": read_zone(form, None),
    }


def read_event(source: Any, path: Path, scope: Scope) -> EventCondition:
    form = open_form(source, path, scope, ("event", "where", "which", "window", *AGGREGATES, *CONDITION_KEYS))
    form.refuse_unknown()
    which: Which = form.word("which", get_args(Which), "any")  # type: ignore[assignment]  # one of its words
    aggregate = read_aggregate(form, (DAY, VISIT))
    if which != "any" and (key := next((key for key in AGGREGATES if key in form), None)):
        form.refuse(key, "no_count_of_one", which=which)
        aggregate = AT_LEAST_ONCE
    return EventCondition(
        **common(form), events=read_events(form), which=which, window=read_window(form), aggregate=aggregate
    )


def read_events(form: Form, *, where: bool = True) -> Events:
    """Return the events that a form names, with their filters."""
    filters = read_filters(form, is_record=False) if where else ()
    return Events(_event_names(form), filters)


def _event_names(form: Form) -> tuple[str, ...]:
    value = form.source.get("event", form.source.get("change"))
    key = "event" if "event" in form or "change" not in form else "change"
    if key not in form:
        form.refuse(key, "missing_key", hint=" Name the event.")
        return ANY_EVENT
    names = value if isinstance(value, list) else [value]
    if not names:
        form.scope.report.refuse(form.at(key), "empty_list")
    if len(names) > form.scope.limits.list_values:
        form.refuse(key, "too_many", found=len(names), things="events", most=form.scope.limits.list_values)
        return ANY_EVENT
    for name in names:
        if not isinstance(name, str) or not name.strip() or len(name) > form.scope.limits.name:
            form.refuse(key, "wrong_value", needs=f"names of up to {form.scope.limits.name} characters")
            return ANY_EVENT
        _note_if_never_seen(name, form.at(key), form.scope)
    if "*" in names and len(names) > 1:
        form.refuse(key, "wrong_value", needs="either names or '*'")
    return tuple(names)


def _note_if_never_seen(name: str, path: Path, scope: Scope) -> None:
    counts = scope.catalogue.event_counts()
    if counts is None or name in counts or name in ("*", VISIT, ATTRIBUTE_CHANGED):
        return
    near = closest(name, counts)
    hint = f"; '{near}' came {counts[near]:,} times. Names heed case" if near else ""
    scope.report.note(path, "event_never_seen", found=name, hint=hint)


def read_filters(form: Form, *, is_record: bool) -> tuple[Filter, ...]:
    """Return the filters of `where`, on one event or on one record of a list; all of them must hold."""
    if "where" not in form:
        return ()
    sources = form.children("where")
    if not sources and isinstance(form.source["where"], list):
        form.scope.report.refuse(form.at("where"), "empty_list")
    scope = form.scope
    filters = tuple(
        _filter(source, (*form.at("where"), at), scope, is_record=is_record, depth=1)
        for at, source in enumerate(sources)
    )
    if (found := sum(map(_count, filters))) > scope.limits.filters:
        form.refuse("where", "too_many", found=found, things="filters", most=scope.limits.filters)
    return filters


def _count(node: Filter) -> int:
    if isinstance(node, AllOf | AnyOf):
        return sum(map(_count, node.children))
    return _count(node.child) if isinstance(node, Not) else 1


def _filter(source: Any, path: Path, scope: Scope, *, is_record: bool, depth: int) -> Filter:
    things = ("property",) if is_record else ("property", "context")
    kinds = (*things, *GROUP_KEYS)
    form = open_form(source, path, scope, (*kinds, *TEST_KEYS, "note"))
    named = [kind for kind in kinds if kind in form]
    note = form.text("note", most=scope.limits.note)
    if len(named) != 1 or depth > scope.limits.depth:
        _refuse_filter(form, named, kinds, depth)
        return PropertyFilter(path=path, property=("name",), test=_any_test(form))
    kind = named[0]
    if kind in things:
        return _value_filter(form, kind, note)
    form = open_form(source, path, scope, (kind, "note"))
    form.refuse_unknown()
    if kind == "not":
        child = _filter(source[kind], form.at(kind), scope, is_record=is_record, depth=depth + 1)
        return Not(path=path, note=note, child=child)
    sources = form.children(kind)
    if not sources and isinstance(source[kind], list):
        scope.report.refuse(form.at(kind), "empty_group")
    children = tuple(
        _filter(child, (*form.at(kind), at), scope, is_record=is_record, depth=depth + 1)
        for at, child in enumerate(sources)
    )
    group = AllOf if kind == "all_of" else AnyOf
    return group(path=path, note=note, children=children)


def _any_test(form: Form) -> Any:
    """Stand in for the test of a filter that was refused."""
    return read_value_test(Form({"known": True}, form.path, form.scope, TEST_KEYS), Subject("", "property"))


def _refuse_filter(form: Form, named: list[str], kinds: tuple[str, ...], depth: int) -> None:
    report, limits = form.scope.report, form.scope.limits
    if len(named) > 1:
        report.refuse(form.path, "two_things")
    elif depth > limits.depth:
        report.refuse(form.path, "too_many", found=depth, things="levels of filters", most=limits.depth)
    elif form.source:
        word = form.unknown[0] if form.unknown else next(iter(form.source))
        report.refuse(form.path, "no_condition", hint=did_you_mean(word, kinds))


def _value_filter(form: Form, kind: str, note: str) -> PropertyFilter | ContextFilter:
    if kind == "context":
        field, subject = read_field(form, "context")
        test = read_value_test(form, subject)
        form.refuse_unknown()
        return ContextFilter(path=form.path, note=note, field=field, test=test)
    name = read_name(form, "property")
    test = read_value_test(form, Subject(".".join(name), "property"))
    form.refuse_unknown()
    return PropertyFilter(path=form.path, note=note, property=name, test=test)


def read_field(form: Form, key: str) -> tuple[Name, Subject]:
    """Return a field of context or situation, and what it is for a test."""
    name = read_name(form, key, is_each_allowed=False)
    found = field_of(name)
    if found is None:
        said = ".".join(name)
        form.refuse(key, "no_field", found=said, hint=did_you_mean(said, [field.key for field in FIELDS.values()]))
        return name, Subject(said, "field")
    return name, Subject(found.key, "field", found.reads)


def read_sequence(source: Any, path: Path, scope: Scope) -> SequenceCondition:
    keys = ("sequence", "same", "same_visit", "within", "window", *CONDITION_KEYS)
    form = open_form(source, path, scope, keys)
    form.refuse_unknown()
    sources = form.children("sequence")
    if len(sources) > scope.limits.steps:
        form.refuse("sequence", "too_many", found=len(sources), things="steps", most=scope.limits.steps)
    elif len(sources) < 2 and isinstance(source["sequence"], list):
        form.refuse("sequence", "too_few", things="Steps of a sequence", least=2)
    last = len(sources) - 1
    steps = tuple(
        _step(step, (*form.at("sequence"), at), scope, is_first=at == 0, is_last=at == last)
        for at, step in enumerate(sources)
    )
    within = read_duration(form, "within")
    if within is not None:
        scope.refuse_beyond_retention(form.at("within"), within.days)
    return SequenceCondition(
        **common(form),
        steps=steps,
        same=_same(form),
        is_same_visit=form.truth("same_visit"),
        within=within,
        window=read_window(form),
    )


def _same(form: Form) -> tuple[Name, ...]:
    if "same" not in form:
        return ()
    values, most = form.children("same"), form.scope.limits.same
    if not 0 < len(values) <= most:
        code = "too_many" if values else "empty_list"
        form.refuse("same", code, found=len(values), things="shared properties", most=most)
    return tuple(
        name_of(value, (*form.at("same"), at), form.scope, is_each_allowed=False) for at, value in enumerate(values)
    )


def _step(source: Any, path: Path, scope: Scope, *, is_first: bool, is_last: bool) -> Step:
    later = () if is_first else ("within", "without")
    keys = (
        "event",
        "where",
        *later,
        *(["which"] if is_first else []),
        *(["absent"] if is_last and not is_first else []),
    )
    form = open_form(source, path, scope, keys)
    form.refuse_unknown()
    within = read_duration(form, "within") if not is_first else None
    if within is not None:
        scope.refuse_beyond_retention(form.at("within"), within.days)
    without = None
    if "without" in form:
        if "absent" in form:
            form.refuse("without", "unknown_key", hint=" An event that must be absent has nothing before it.")
        inner = open_form(form.source["without"], form.at("without"), scope, ("event", "where"))
        inner.refuse_unknown()
        without = read_events(inner)
    return Step(
        path=path,
        events=read_events(form),
        within=within,
        without=without,
        is_absent=form.truth("absent"),
        is_newest=form.word("which", ("any", "last"), "any") == "last",
    )


def read_change(source: Any, path: Path, scope: Scope) -> ChangeCondition:
    form = open_form(
        source, path, scope, ("change", "where", "sum", "count", "from", "to", *TEST_KEYS, *CONDITION_KEYS)
    )
    if ("sum" in form) == ("count" in form) or ("count" in form and form.source["count"] is not True):
        form.refuse("sum", "wrong_value", needs='the name of a number; or write "count": true in its place')
    for key in ("from", "to"):
        if key not in form:
            form.refuse(key, "missing_key", hint=' Write two windows, such as "to": {"within": "30d"}.')
    test = read_as_number(form, read_value_test(form, Subject("the change", "test", "number")))
    form.refuse_unknown()
    before, to = read_window(form, "from"), read_window(form, "to")
    for key, window in (("from", before), ("to", to)):
        if isinstance(window, ThisVisit):
            form.refuse(key, "wrong_value", needs="a window of time, not a visit")
    return ChangeCondition(
        **common(form),
        events=read_events(form),
        sum=read_name(form, "sum") if "sum" in form else None,
        before=before,
        to=to,
        test=test,
    )


def read_favourite(source: Any, path: Path, scope: Scope) -> FavouriteCondition:
    form = open_form(source, path, scope, ("favourite", "event", "by", "window", *TEST_KEYS, *CONDITION_KEYS))
    test = read_value_test(form, Subject("the favourite", "property", "text"))
    for key in ("known", "pick"):
        if key in form:
            form.refuse(key, "unknown_key", hint=" Ask which value it is.")
    form.refuse_unknown()
    return FavouriteCondition(
        **common(form),
        property=read_name(form, "favourite"),
        events=read_events(form, where=False),
        test=test,
        sum=_favourite_by(form),
        window=read_window(form),
    )


def _favourite_by(form: Form) -> Name | None:
    by = form.source.get("by", "count")
    if by == "count":
        return None
    if isinstance(by, dict):
        inner = open_form(by, form.at("by"), form.scope, ("sum",))
        inner.refuse_unknown()
        return read_name(inner, "sum")
    form.refuse("by", "wrong_value", needs="'count' or {\"sum\": …}")
    return None
