"""Conditions about what is known of a profile or an account: attributes, lists of records, identifiers, consent."""

from functools import partial

from segments.rules.compiling import asking, filters, steps
from segments.rules.compiling.asking import value_at
from segments.rules.compiling.filters import item_of
from segments.rules.compiling.scene import Scene, Uncompilable
from segments.rules.compiling.sql import (
    AS_OF_SQL,
    NEVER,
    Sql,
    bigint,
    duration,
    join,
    opposite,
    sql,
    text,
    where_true,
)
from segments.rules.tree import (
    AttributeCondition,
    BucketCondition,
    ConsentCondition,
    IdentityCondition,
    ItemsCondition,
    PersonCondition,
)
from segments.rules.values import Amount, CountTest, Name

CART, CART_UPDATED = ("cart",), ("cart", "updated_at")
# An amount that a line of a cart does not say is its price times its quantity.
CART_AMOUNT, CART_FACTORS = ("amount",), (("price",), ("quantity",))
NAMES_A_PERSON = "('customer_id', 'email', 'phone')"
_TABLES = {"profile": "audience_attribute", "account": "audience_accountattribute"}


def attribute_value(name: Name, scene: Scene) -> Sql:
    """Return the value of an attribute as JSON, NULL where there is none."""
    value = Sql("to_jsonb(a.seen_at)") if name == CART_UPDATED else value_at("a.value", name[1:])
    return _of_attribute(name, value, scene)


def _of_attribute(name: Name, chosen: Sql, scene: Scene) -> Sql:
    return sql(
        f"(SELECT {{chosen}} FROM {_TABLES[scene.of]} a WHERE a.{scene.of}_id = {scene.id} AND a.name = {{name}})",
        chosen=chosen,
        name=text(name[0]),
    )


def attribute_timeline(node: AttributeCondition, scene: Scene) -> Sql:
    passes = asking.timeline(attribute_value(node.attribute, scene), node.test, scene.clock(node.zone))
    if node.for_at_least is None:
        return passes
    length = duration(node.for_at_least.microseconds)
    since = sql("tstzmultirange(tstzrange(a.since + {length}, NULL))", length=length)
    old = _of_attribute(node.attribute, since, scene)
    return sql("({passes} * coalesce({old}, {never}))", passes=passes, old=old, never=NEVER)


def items_timeline(node: ItemsCondition, scene: Scene) -> Sql:
    """Return when the aggregate is true of the records; never where there is no list."""
    look_up = filters.number_at if isinstance(node.aggregate, Amount) else filters.value_at
    passes = steps.aggregated(node.aggregate, partial(items_spans, node, scene), partial(look_up, item_of(scene)))
    return of_list(node, scene, passes, NEVER)


def of_list(node: ItemsCondition, scene: Scene, found: Sql, otherwise: Sql) -> Sql:
    """Return what is found of the list `l.v`, or something else where there is none."""
    return sql(
        "(SELECT CASE WHEN jsonb_typeof(l.v) = 'array' THEN {found} ELSE {otherwise} END"
        " FROM (SELECT {value} AS v OFFSET 0) l)",
        found=found,
        otherwise=otherwise,
        value=attribute_value(node.items, scene),
    )


def items_spans(node: ItemsCondition, scene: Scene, value: Sql | None) -> Sql:
    """Return the spans `r` of the records of the list `l.v` that pass the filters, with a value `v` of each."""
    # No column may be called `i`: in a test of a list it would stand before the element, which is a row of that name.
    records = Sql("SELECT i AS record FROM jsonb_array_elements(l.v) i")
    if node.items == CART:
        factors = [sql("segments_number({value})", value=value_at("i", factor)) for factor in CART_FACTORS]
        records = sql(
            "SELECT jsonb_strip_nulls(jsonb_build_object({name}, {amount})) || i AS record"
            " FROM jsonb_array_elements(l.v) i WHERE jsonb_typeof(i) = 'object'",
            name=text(*CART_AMOUNT),
            amount=join(" * ", factors),
        )
    if filters.is_dated(node.where):
        when = sql("unnest({passes})", passes=filters.timeline(node.where, item_of(scene), scene.clock(node.zone)))
        conditions = Sql("")
    else:
        when = sql("tstzrange({as_of}, NULL)", as_of=AS_OF_SQL)
        claims = filters.claims(node.where, item_of(scene))
        conditions = sql(" WHERE {all}", all=join(" AND ", claims)) if claims else Sql("")
    return sql(
        "SELECT {when} AS r{value} FROM ({records}) i{conditions}",
        when=when,
        value=sql(", {value} AS v", value=value) if value else Sql(""),
        records=records,
        conditions=conditions,
    )


def identity_timeline(node: IdentityCondition, scene: Scene) -> Sql:
    if isinstance(node.test, CountTest):
        count = sql("(SELECT count(*) FROM {identifiers})", identifiers=_identifiers(node.kind, scene))
        return where_true(steps.count_holds(count, node.test))
    if node.test.operator == "known":
        claim = sql("EXISTS (SELECT FROM {identifiers})", identifiers=_identifiers(node.kind, scene))
        return where_true(claim if node.test.operand else sql("NOT {claim}", claim=claim))
    passes = asking.claim(Sql("to_jsonb(d.value::text)"), node.test)
    return where_true(
        sql(
            "EXISTS (SELECT FROM {identifiers} AND {passes})",
            identifiers=_identifiers(node.kind, scene),
            passes=passes,
        )
    )


def _identifiers(kind: str, scene: Scene) -> Sql:
    _needs_a_profile(scene)
    return sql(
        f"audience_identifier d WHERE d.profile_id = {scene.id} AND d.kind = {{kind}}",
        kind=text(kind),
    )


def _needs_a_profile(scene: Scene) -> None:
    if scene.of != "profile":
        raise Uncompilable("This is known of profiles only. In a rule about accounts it stands in “who”.")


def person_timeline(node: PersonCondition, scene: Scene) -> Sql:
    _needs_a_profile(scene)
    if node.state not in ("known", "anonymous"):
        raise Uncompilable(f"“{node.state}” is not what a person can be.")
    word = "" if node.state == "known" else "NOT "
    return where_true(
        Sql(
            f"{word}EXISTS (SELECT FROM audience_identifier d WHERE d.profile_id = {scene.id}"
            f" AND d.kind IN {NAMES_A_PERSON})"
        )
    )


def consent_timeline(node: ConsentCondition, scene: Scene) -> Sql:
    """Return when the state of a purpose is the one that is asked for; a limited consent ends by itself."""
    _needs_a_profile(scene)
    test = node.test
    if test.operator == "known":
        known = _consent(node.purpose, Sql("TRUE"), scene)
        return known if test.operand else opposite(known)
    if test.operator != "equals" or test.operand not in ("granted", "denied"):
        raise Uncompilable("A consent is “granted” or “denied”.")
    return _consent(node.purpose, sql("c.state = {state}", state=text(str(test.operand))), scene)


def _consent(purpose: str, claim: Sql, scene: Scene) -> Sql:
    return sql(
        f"""coalesce((SELECT tstzmultirange(tstzrange(c.since,
            CASE WHEN c.until IS NOT NULL THEN greatest(c.since, c.until) END))
        FROM audience_consent c WHERE c.profile_id = {scene.id} AND c.purpose = {{purpose}}
        AND {{claim}}), {{never}})""",
        purpose=text(purpose),
        claim=claim,
        never=NEVER,
    )


def bucket_timeline(node: BucketCondition, scene: Scene) -> Sql:
    """Return always where the share number lies in the bucket: 48 bits of a hash (rules.md 2.12)."""
    if not 0 <= node.lower < node.upper <= 10_000:
        raise Uncompilable("A bucket goes from a lower to an upper share, between 0 and 100 percent.")
    share = sql(
        f"""((('x' || substr(encode(sha256(convert_to({{salt}} || '/' || {scene.id}::text, 'UTF8')), 'hex'), 1, 12)
        )::bit(48)::bigint * 10000) >> 48)""",
        salt=text(scene.surroundings.key if node.salt is None else node.salt),
    )
    return where_true(
        sql(
            "{share} >= {lower} AND {share} < {upper}",
            share=share,
            lower=bigint(node.lower),
            upper=bigint(node.upper),
        )
    )
