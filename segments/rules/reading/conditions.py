"""Reads conditions about what is known of people and companies, and about time, chance and segments."""

import re
from decimal import Decimal
from typing import Any, get_args

from segments.rules.catalogue import Catalogue
from segments.rules.fields import BUILT_IN_ATTRIBUTES, AttributeType
from segments.rules.reading.events import CONDITION_KEYS, common, read_field, read_filters
from segments.rules.reading.forms import Form, Scope, number_of, open_form
from segments.rules.reading.values import (
    AGGREGATES,
    TEST_KEYS,
    Subject,
    read_aggregate,
    read_as_number,
    read_count_test,
    read_name,
    read_value_test,
)
from segments.rules.reading.windows import read_duration, read_window
from segments.rules.refusals import did_you_mean
from segments.rules.tree import (
    WEEKDAYS,
    AttributeCondition,
    BucketCondition,
    ConsentCondition,
    IdentityCondition,
    IsMember,
    ItemsCondition,
    Joined,
    Left,
    NearCondition,
    Of,
    Path,
    PersonCondition,
    Seen,
    SegmentCondition,
    SituationCondition,
    TimeCondition,
    WasIn,
    Weekday,
)
from segments.rules.values import CountTest, Name, Reads, ValueTest
from segments.rules.windows import EVER, ThisVisit, Window, Within

IDENTITY_KINDS = ("browser", "customer_id", "email", "phone", "device")
PARTNER = "partner:"
HALF_WAY_ROUND_KM = Decimal(20_038)

_CLOCK = re.compile(r"(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)", re.ASCII)


def read_attribute(source: Any, path: Path, scope: Scope) -> AttributeCondition:
    form = open_form(source, path, scope, ("attribute", "for_at_least", *TEST_KEYS, *CONDITION_KEYS))
    name = read_name(form, "attribute")
    test = read_value_test(form, _attribute_subject(form, name))
    form.refuse_unknown()
    return AttributeCondition(
        **common(form), attribute=name, test=test, for_at_least=read_duration(form, "for_at_least")
    )


def _attribute_subject(form: Form, name: Name) -> Subject:
    said = ".".join(name)
    found = attribute_type(form.scope.catalogue, form.scope.of, name)
    if found == "records":
        form.refuse("attribute", "wrong_value", needs=f"a value, and '{said}' is a list of records; ask with 'items'")
        return Subject(said, "attribute")
    _note_if_unknown(form, "attribute", name)
    reads: Reads | None = found
    return Subject(said, "attribute", reads)


def attribute_type(catalogue: Catalogue, of: Of, name: Name) -> AttributeType | None:
    """Return the type of an attribute, None where it is not known or has several."""
    if of == "profile" and name in BUILT_IN_ATTRIBUTES:
        return BUILT_IN_ATTRIBUTES[name]
    return (catalogue.attributes(of) or {}).get(name)


def _note_if_unknown(form: Form, key: str, name: Name) -> None:
    known = form.scope.catalogue.attributes(form.scope.of)
    built_in = {built_in[:1] for built_in in BUILT_IN_ATTRIBUTES} if form.scope.of == "profile" else set()
    first_steps = {attribute[:1] for attribute in known or ()} | built_in
    if known is None or name[:1] in first_steps:
        return
    hint = did_you_mean(name[0], [steps[0] for steps in first_steps])
    form.scope.report.note(form.at(key), "attribute_never_seen", found=name[0], hint=hint)


def read_items(source: Any, path: Path, scope: Scope) -> ItemsCondition:
    form = open_form(source, path, scope, ("items", "where", *AGGREGATES, *CONDITION_KEYS))
    form.refuse_unknown()
    name = read_name(form, "items", is_each_allowed=False)
    found = attribute_type(scope.catalogue, scope.of, name)
    if found not in (None, "records", "list"):
        form.refuse("items", "wrong_value", needs=f"a list of records; '{'.'.join(name)}' is {found}")
    _note_if_unknown(form, "items", name)
    return ItemsCondition(
        **common(form), items=name, where=read_filters(form, is_record=True), aggregate=read_aggregate(form)
    )


def read_identity(source: Any, path: Path, scope: Scope) -> IdentityCondition:
    form = open_form(source, path, scope, ("identity", "count", *TEST_KEYS, *CONDITION_KEYS))
    kind = form.text("identity", "email")
    if kind not in IDENTITY_KINDS and not (kind.startswith(PARTNER) and kind != PARTNER):
        form.refuse("identity", "no_kind", found=kind, hint=did_you_mean(kind, (*IDENTITY_KINDS, "partner:NAME")))
    test: CountTest | ValueTest
    if "count" in form:
        for key in (key for key in TEST_KEYS if key in form):
            form.refuse(key, "two_things")
        test = read_count_test(form.source["count"], form.at("count"), scope)
    else:
        test = read_value_test(form, Subject(kind, "kind", "text"))
    if "pick" in form:
        form.refuse("pick", "unknown_key", hint=" One identifier that passes is enough.")
    form.refuse_unknown()
    return IdentityCondition(**common(form), kind=kind, test=test)


def read_person(source: Any, path: Path, scope: Scope) -> PersonCondition:
    form = open_form(source, path, scope, ("person", *CONDITION_KEYS))
    form.refuse_unknown()
    is_known = form.word("person", ("known", "anonymous"), "known") == "known"
    return PersonCondition(**common(form), state="known" if is_known else "anonymous")


def read_consent(source: Any, path: Path, scope: Scope) -> ConsentCondition:
    form = open_form(source, path, scope, ("consent", "equals", "known", *CONDITION_KEYS))
    test = read_value_test(form, Subject("the consent", "purpose", "text"))
    form.refuse_unknown()
    if test.operator == "equals" and test.operand not in ("granted", "denied"):
        form.refuse("equals", "wrong_value", needs="'granted' or 'denied'")
    return ConsentCondition(**common(form), purpose=form.text("consent", most=scope.limits.name), test=test)


def read_situation(source: Any, path: Path, scope: Scope) -> SituationCondition:
    form = open_form(source, path, scope, ("situation", "seen", "window", *TEST_KEYS, *CONDITION_KEYS))
    field, subject = read_field(form, "situation")
    test = read_value_test(form, subject)
    form.refuse_unknown()
    return SituationCondition(
        **common(form), field=field, test=test, seen=_seen(form), window=read_window(form, is_forgotten=False)
    )


def _seen(form: Form) -> Seen:
    seen: Seen = form.word("seen", get_args(Seen), "last")  # type: ignore[assignment]  # one of its words
    return seen


def read_near(source: Any, path: Path, scope: Scope) -> NearCondition:
    form = open_form(source, path, scope, ("near", "seen", "window", *CONDITION_KEYS))
    form.refuse_unknown()
    circle = open_form(form.source.get("near"), form.at("near"), scope, ("lat", "lon", "km"))
    circle.refuse_unknown()
    return NearCondition(
        **common(form),
        lat=circle.number("lat", Decimal(-90), Decimal(90)),
        lon=circle.number("lon", Decimal(-180), Decimal(180)),
        km=circle.number("km", Decimal(0), HALF_WAY_ROUND_KM),
        seen=_seen(form),
        window=read_window(form, is_forgotten=False),
    )


def read_time(source: Any, path: Path, scope: Scope) -> TimeCondition:
    form = open_form(source, path, scope, ("time", *CONDITION_KEYS))
    form.refuse_unknown()
    clock = open_form(form.source.get("time"), form.at("time"), scope, ("from", "to", "days"))
    clock.refuse_unknown()
    start, end = _clock(clock, "from", 0), _clock(clock, "to", 1440)
    if start == end or start == 1440:
        clock.refuse("to", "wrong_value", needs="a time other than 'from'")
    return TimeCondition(**common(form), start=start, end=end, days=_days(clock))


def _clock(form: Form, key: str, default: int) -> int:
    if key not in form:
        return default
    value = form.source[key]
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        form.refuse(key, "no_clock_time", found=value)
        return default
    return int(found[1]) * 60 + int(found[2]) if found[1] else 1440


def _days(form: Form) -> tuple[Weekday, ...]:
    if "days" not in form:
        return WEEKDAYS
    days = form.children("days")
    if not days and isinstance(form.source["days"], list):
        form.scope.report.refuse(form.at("days"), "empty_list")
    if any(day not in WEEKDAYS for day in days):
        form.refuse("days", "wrong_value", needs=f"some of {', '.join(WEEKDAYS)}")
    return tuple(day for day in WEEKDAYS if day in days)


def read_segment(source: Any, path: Path, scope: Scope) -> SegmentCondition:
    asks = ("in", "joined", "left", "was_in")
    beside = ("for_at_least", "last_added", "value")
    form = open_form(source, path, scope, ("segment", *asks, *beside, *CONDITION_KEYS))
    form.refuse_unknown()
    asked = [key for key in asks if key in form]
    if len(asked) != 1:
        code = "two_things" if asked else "no_test"
        scope.report.refuse(path, code, tests="'in', 'joined', 'left', 'was_in'")
    is_in = form.truth("in", default=True)
    if asked != ["in"] or not is_in:
        for key in (key for key in beside if key in form):
            form.refuse(key, "unknown_key", hint=" It stands beside 'in': true.")
    keys = _segment_keys(form)
    return SegmentCondition(**common(form), segments=keys, asks=_asks(form, (asked or ["in"])[0], is_in=is_in))


def _asks(form: Form, asked: str, *, is_in: bool) -> IsMember | Joined | Left | WasIn:
    if asked == "in":
        return IsMember(
            is_in,
            read_duration(form, "for_at_least"),
            _membership_window(form, "last_added") if "last_added" in form else None,
            _membership_value(form),
        )
    window = _membership_window(form, asked)
    if asked == "was_in" and not isinstance(window, Within | type(EVER)):
        form.refuse(asked, "wrong_value", needs='{"within": "7d"} or {"ever": true}')
    if asked == "joined":
        return Joined(window)
    return Left(window) if asked == "left" else WasIn(window)


def _membership_window(form: Form, key: str) -> Window:
    window = read_window(form, key, is_forgotten=False)
    if isinstance(window, ThisVisit):
        form.refuse(key, "wrong_value", needs="a window of time, not a visit")
    return window


def _membership_value(form: Form) -> ValueTest | None:
    if "value" not in form:
        return None
    inner = open_form(form.source["value"], form.at("value"), form.scope, TEST_KEYS)
    test = read_value_test(inner, Subject("the value", "test", "number"))
    inner.refuse_unknown()
    return read_as_number(inner, test)


def _segment_keys(form: Form) -> tuple[str, ...]:
    value, limits = form.source["segment"], form.scope.limits
    keys = value if isinstance(value, list) else [value]
    if not keys:
        form.scope.report.refuse(form.at("segment"), "empty_list")
    if len(keys) > limits.segments:
        form.refuse("segment", "too_many", found=len(keys), things="segments", most=limits.segments)
    if not all(isinstance(key, str) and 0 < len(key) <= limits.name for key in keys):
        form.refuse("segment", "wrong_value", needs="the key of a segment, or a list of keys")
        return ()
    known = form.scope.catalogue.segments(form.scope.of)
    for key in keys:
        if known is not None and key not in known:
            near = did_you_mean(key, known).replace("Did you mean", "Closest:").replace("?", ".")
            form.refuse("segment", "no_segment", found=key, hint=near)
    return tuple(keys)


def read_bucket(source: Any, path: Path, scope: Scope) -> BucketCondition:
    form = open_form(source, path, scope, ("bucket", "salt", *CONDITION_KEYS))
    form.refuse_unknown()
    ends = form.children("bucket")
    shares = [_hundredths(end, scope) for end in ends]
    if len(shares) != 2 or shares[0] is None or shares[1] is None or shares[0] >= shares[1]:
        form.refuse("bucket", "wrong_value", needs="two percents of up to two decimals, such as [0, 25]")
        shares = [0, 10_000]
    salt = form.text("salt", most=scope.limits.name) if "salt" in form else None
    return BucketCondition(**common(form), lower=shares[0] or 0, upper=shares[1] or 0, salt=salt)


def _hundredths(percent: Any, scope: Scope) -> int | None:
    number = number_of(percent, scope.limits)
    if number is None or not 0 <= number <= 100 or number * 100 % 1:
        return None
    return int(number * 100)
