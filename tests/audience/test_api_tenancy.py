"""Every operation of the API, taken from its own description: whose rows it shows, to whom, and in which form."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.db import transaction
from django.test import Client
from django.utils import timezone
from jsonschema import Draft202012Validator

from audience.accounts import account_id
from audience.models import Account, AccountAttribute, AccountMember, Advertiser, Attribute, Event, Profile, Role
from audience.tenancy import TenantModel, acting_for
from exports.models import Destination, Export, ExportColumn, ExportSegment, Run, RunFile
from segments.models import RuleVersion, Segment
from tests.callers import Caller, make_caller
from tests.factories import (
    make_advertiser,
    make_member,
    make_partner,
    make_piggyback,
    make_pixel,
    make_profile,
    make_segment,
)

pytestmark = pytest.mark.django_db

CANARY = "canary"
NEVER = 987_654_321
NEVER_PROFILE = UUID("01999999-9999-7999-8999-999999999999")


@dataclass(frozen=True)
class Operation:
    """One operation of the schema, with an example of what it takes."""

    id: str
    method: str
    path: str
    query: tuple[str, ...]
    body: Any
    answers: dict[str, Any]

    @property
    def resource(self) -> str:
        """Of which rows the id in the path is one."""
        is_ruled = re.match(r"/segments/\{id\}/(versions|build|why)", self.path)
        return "rule_segments" if is_ruled else self.path.split("/")[1]

    def with_id(self, id_: object) -> str:
        return re.sub(r"\{(position|number)\}", "1", self.path.replace("{id}", str(id_)))

    @property
    def is_json(self) -> bool:
        return "application/json" in self.answers.get("200", {}).get("content", {"application/json": None})


@cache
def read_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(Client().get("/api/v1/schema").content)
    return schema


def operations(schema: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield Operation(
                operation["operationId"],
                method,
                path.removeprefix("/api/v1"),
                tuple(one["name"] for one in operation.get("parameters", []) if one["in"] == "query"),
                _example(operation.get("requestBody", {})),
                operation["responses"],
            )


def _example(body: dict[str, Any]) -> Any:
    examples = body.get("content", {}).get("application/json", {}).get("examples", {})
    return next((example["value"] for example in examples.values()), {} if body else None)


@dataclass(frozen=True)
class Rows:
    """One row of each resource of an advertiser, and the words that lead to them."""

    caller: Caller
    ids: dict[str, object]
    words: dict[str, object]


def make_rows(advertiser: Advertiser, word: str) -> Rows:
    """Make a row of every resource: each text holds the word, each number is long enough to be found."""
    numbers = count(1_000_000 + 1000 * advertiser.pk)
    texts = {"name": f"{word} segment", "description": f"{word} text", "domains": [f"{word}.example"]}
    segment = make_segment(advertiser, word, pk=next(numbers), **texts)
    ruled = make_ruled(advertiser, f"{word}-ruled", pk=next(numbers), name=f"{word} ruled")
    pixel = make_pixel(advertiser, segment, pk=next(numbers), name=f"{word} pixel")
    partner = make_partner(advertiser, word, pk=next(numbers), hosts=[f"{word}.example"])
    piggyback = make_piggyback(segment, f"https://{word}.example/p", pk=next(numbers))
    profile = make_profile(advertiser, customer_id=f"{word}-1", email=f"{word}@example.com")
    make_member(segment, profile, starts_at=timezone.now())
    account = tell(profile, word)
    caller = make_caller(advertiser)
    caller.get("/segments")  # the token's last use is kept to the minute: from here on nothing changes it
    return Rows(
        caller,
        {
            "segments": segment.pk,
            "rule_segments": ruled.pk,
            "pixels": pixel.pk,
            "profiles": profile.pk,
            "reports": segment.pk,
        }
        | {"accounts": account.pk, "rules": segment.pk, "partners": partner.pk, "piggybacks": piggyback.pk}
        | make_exports(segment, word, numbers),
        {"code": word, "public_key": pixel.public_key, "kind": "customer_id", "value": f"{word}-1"}
        | {"key": account.key},
    )


def make_ruled(advertiser: Advertiser, code: str, **fields: Any) -> Segment:
    """Make a segment by a rule that serves, and that nobody can pass."""
    segment = make_segment(advertiser, code, kind=Segment.Kind.RULE, write_mode=Segment.WriteMode.DOMAINS, **fields)
    rule = {"muster_rule": 1, "of": "profile", "rule": {"event": f"{code} event"}}
    with acting_for(advertiser.pk):
        RuleVersion.objects.create(
            segment=segment, number=1, rule=json.dumps(rule), state="active", complete_since=timezone.now()
        )
    return segment


def tell(profile: Profile, word: str) -> Account:
    """Give a profile an event, an attribute and a company, which is returned, each with the word in it."""
    seen, now = {"first_seen_at": timezone.now(), "last_seen_at": timezone.now()}, timezone.now()
    times = {"occurred_at": now, "received_at": now}
    told = {"since": now, "seen_at": now, "fact_id": uuid4(), "source_kind": "identify"}
    with acting_for(profile.advertiser_id):
        Event.objects.create(profile=profile, id=uuid4(), name=f"{word} event", properties={word: word}, **times)
        Attribute.objects.create(profile=profile, name=f"{word} attribute", value=word, **told)
        key = UUID(bytes=account_id(profile.advertiser_id, f"{word}-1"))
        account = Account.objects.create(pk=key, key=f"{word}-1", **seen)
        AccountAttribute.objects.create(account=account, name=f"{word} attribute", value=word, **told)
        AccountMember.objects.create(profile=profile, account=account, since=now)
    return account


def make_exports(segment: Segment, word: str, numbers: Iterator[int]) -> dict[str, object]:
    """Make a destination, an export to it and a delivered run with a file; return their ids."""
    with acting_for(segment.advertiser_id):
        destination = Destination.objects.create(
            pk=next(numbers), name=f"{word} destination", kind="folder", root=word, path=word, state="ready"
        )
        export = Export.objects.create(pk=next(numbers), name=f"{word} export", destination=destination)
        ExportSegment.objects.create(export=export, segment=segment)
        ExportColumn.objects.create(export=export, source="constant", constant=word, header=word)
        run = Run.objects.create(
            pk=next(numbers),
            export=export,
            destination=destination,
            state="delivered",
            cause="person",
            started_by=word,
            due_at=timezone.now(),
        )
        RunFile.objects.create(run=run, claim=0, position=1, wanted_name=word, name=word)
    return {"destinations": destination.pk, "exports": export.pk, "runs": run.pk}


NEVER_IDS: dict[str, object] = {
    "segments": NEVER,
    "rule_segments": NEVER,
    "pixels": NEVER,
    "partners": NEVER,
    "piggybacks": NEVER,
    "profiles": NEVER_PROFILE,
    "accounts": NEVER_PROFILE,
    "destinations": NEVER,
    "exports": NEVER,
    "runs": NEVER,
    "reports": NEVER,
    "rules": NEVER,
}
NEVER_WORDS: dict[str, object] = {
    "code": "unheard",
    "public_key": "neverneverneverN",
    "kind": "customer_id",
    "value": "never-1",
    "key": "never-1",
}


@pytest.fixture
def a() -> Rows:
    return make_rows(make_advertiser(name="Ours"), "own")


@pytest.fixture
def b() -> Rows:
    return make_rows(make_advertiser(name=f"{CANARY} Ltd"), CANARY)


def snapshot(advertiser: Advertiser) -> list[str]:
    """Return every row of an advertiser as text."""
    models = [model for model in apps.get_models() if issubclass(model, TenantModel)]
    return sorted(
        repr(row) for model in models for row in model.all_advertisers.filter(advertiser=advertiser).values_list()
    )


def in_the_path(rows: Rows, operation: Operation, ids: dict[str, object], _: dict[str, object]) -> Any:
    if "{id}" not in operation.path:
        return None
    return rows.caller.call(operation.method, operation.with_id(ids[operation.resource]), operation.body)


def in_the_query(rows: Rows, operation: Operation, ids: dict[str, object], words: dict[str, object]) -> Any:
    places = {name.removesuffix("s"): id_ for name, id_ in ids.items()} | words
    query = {name: places[name] for name in operation.query if name in places}
    path = operation.with_id(rows.ids.get(operation.resource))
    return rows.caller.get(path, **query) if query else None


def in_the_body(rows: Rows, operation: Operation, ids: dict[str, object], words: dict[str, object]) -> Any:
    if not operation.body:
        return None
    places = {name.removesuffix("s"): id_ for name, id_ in ids.items()} | {"segments": [ids["segments"]]}
    body = _put(operation.body, places | {"value": words["value"], "key": words["key"]})
    if operation.method == "patch":
        body |= {"id": ids[operation.resource]}
    return rows.caller.call(operation.method, operation.with_id(rows.ids.get(operation.resource)), body)


def _put(example: Any, places: dict[str, Any]) -> Any:
    """Return the example with ids and identifiers of others in every place that names one."""
    if isinstance(example, list):
        return [_put(one, places) for one in example]
    if not isinstance(example, dict):
        return example
    return {
        name: places[name] if name in places and not isinstance(value, dict) else _put(value, places)
        for name, value in example.items()
    }


PLACES = [in_the_path, in_the_query, in_the_body]


def comparable(answer: Any, ids: dict[str, object], words: dict[str, object]) -> tuple[int, str]:
    """Return status and body, with what was asked for written alike."""
    text = re.sub(r'"(id|public_key|created_at|as_of|reference)":("[^"]*"|\d+)', r'"\1":NEW', answer.content.decode())
    for value in sorted(map(str, {**ids, **words}.values()), key=len, reverse=True):
        text = text.replace(value, "ASKED")
    return answer.status_code, text


def undone(place: Callable[..., Any], *arguments: Any) -> Any:
    """Ask, and take back what the call has changed, so that the next one finds the same."""
    with transaction.atomic():
        answer = place(*arguments)
        transaction.set_rollback(True)
    return answer


def leaks(a: Rows, b: Rows, place: Callable[..., Any]) -> Iterator[str]:
    """Yield what tells a row of B from one that never was."""
    for operation in operations(read_schema()):
        asked = undone(place, a, operation, b.ids, b.words)
        if asked is None:
            continue
        never = undone(place, a, operation, NEVER_IDS, NEVER_WORDS)
        if comparable(asked, b.ids, b.words) != comparable(never, NEVER_IDS, NEVER_WORDS):
            yield f"{operation.id} {asked.content!r} {never.content!r}"
        headers = " ".join(f"{name}: {value}" for name, value in asked.items())
        if CANARY in headers or CANARY in asked.content.decode().replace(f"{CANARY}-1", ""):
            yield f"{operation.id} shows {asked.content!r}"


@pytest.mark.spec("T15")
@pytest.mark.parametrize("place", PLACES)
def test_a_row_of_another_advertiser_is_one_that_never_was(a: Rows, b: Rows, place: Callable[..., Any]) -> None:
    theirs = b.caller.row.advertiser
    before = snapshot(theirs)
    assert list(leaks(a, b, place)) == []
    assert snapshot(theirs) == before


def needed_query(rows: Rows, operation: Operation) -> dict[str, object]:
    """Return what an operation cannot go without."""
    needed = {"profiles.list": ("kind", "value"), "segments.why": ("kind", "value")}
    return {name: rows.words[name] for name in needed.get(operation.id, ())}


@pytest.mark.spec("T15")
def test_an_operation_without_an_id_shows_own_rows_only(a: Rows, b: Rows) -> None:
    own = 0
    for operation in operations(read_schema()):
        if operation.method == "get" and operation.is_json:
            path = operation.with_id(a.ids[operation.resource])
            answer = a.caller.get(path, **needed_query(a, operation))
            assert answer.status_code == 200, operation
            assert CANARY not in answer.content.decode()
            own += "own" in answer.content.decode()
            if operation.id == "profiles.events":
                assert "own event" in answer.content.decode()
    assert own > 5


def test_the_crawl_sees_a_leak(a: Rows, b: Rows) -> None:
    """Unscope the one function that every resource stands on, and the crawl must say so."""

    def rows_of_everybody(model: Any) -> Any:
        return model.all_advertisers.all()

    with patch("audience.api.views.rows_of", rows_of_everybody):
        assert len(list(leaks(a, b, in_the_path))) > 5
    with patch("audience.api.serializers.rows_of", rows_of_everybody):
        assert list(leaks(a, b, in_the_body))


def test_every_resource_is_in_the_crawl(a: Rows) -> None:
    resources = {operation.resource for operation in operations(read_schema())}
    assert resources == set(a.ids) == set(NEVER_IDS)


# The least role of every operation, and whether it is for tokens that may see people.
MATRIX = {
    "segments.list": (Role.VIEWER, False),
    "segments.retrieve": (Role.VIEWER, False),
    "segments.create": (Role.ANALYST, False),
    "segments.partial_update": (Role.ANALYST, False),
    "segments.destroy": (Role.ANALYST, False),
    "segments.members": (Role.VIEWER, False),
    "segments.accounts": (Role.VIEWER, True),
    "segments.change_members": (Role.MANAGER, False),
    "segments.transitions": (Role.VIEWER, False),
    "segments.versions": (Role.VIEWER, False),
    "segments.version": (Role.VIEWER, False),
    "segments.use_version": (Role.ANALYST, False),
    "segments.stop_build": (Role.ANALYST, False),
    "segments.resume_build": (Role.ANALYST, False),
    "segments.retry_build": (Role.ANALYST, False),
    "segments.why": (Role.ANALYST, True),
    "pixels.list": (Role.MANAGER, False),
    "pixels.retrieve": (Role.MANAGER, False),
    "pixels.create": (Role.MANAGER, False),
    "pixels.partial_update": (Role.MANAGER, False),
    "pixels.destroy": (Role.MANAGER, False),
    "pixels.tags": (Role.MANAGER, False),
    "partners.list": (Role.MANAGER, False),
    "partners.retrieve": (Role.MANAGER, False),
    "partners.create": (Role.MANAGER, False),
    "partners.partial_update": (Role.MANAGER, False),
    "partners.destroy": (Role.MANAGER, False),
    "piggybacks.list": (Role.MANAGER, False),
    "piggybacks.retrieve": (Role.MANAGER, False),
    "piggybacks.create": (Role.MANAGER, False),
    "piggybacks.partial_update": (Role.MANAGER, False),
    "piggybacks.destroy": (Role.MANAGER, False),
    "profiles.list": (Role.VIEWER, True),
    "profiles.retrieve": (Role.VIEWER, True),
    "profiles.find": (Role.VIEWER, True),
    "profiles.events": (Role.VIEWER, True),
    "profiles.put_attributes": (Role.MANAGER, False),
    "accounts.list": (Role.VIEWER, True),
    "accounts.retrieve": (Role.VIEWER, True),
    "accounts.put_attributes": (Role.MANAGER, False),
    "accounts.people": (Role.VIEWER, True),
    "accounts.change_people": (Role.MANAGER, False),
    "destinations.list": (Role.MANAGER, False),
    "destinations.retrieve": (Role.MANAGER, False),
    "exports.list": (Role.MANAGER, False),
    "exports.retrieve": (Role.MANAGER, False),
    "exports.create": (Role.MANAGER, False),
    "exports.partial_update": (Role.MANAGER, False),
    "runs.list": (Role.VIEWER, False),
    "runs.retrieve": (Role.VIEWER, False),
    "runs.create": (Role.MANAGER, False),
    "runs.cancel": (Role.MANAGER, False),
    "runs.download": (Role.VIEWER, True),
    "reports.segment_loads": (Role.VIEWER, False),
    "rules.json_schema": (Role.VIEWER, False),
    "rules.names": (Role.ANALYST, False),
    "rules.validate": (Role.ANALYST, False),
    "rules.preview": (Role.ANALYST, False),
    "rules.why": (Role.ANALYST, True),
}


@pytest.mark.spec("S6")
@pytest.mark.spec("T24")
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("people", [False, True])
def test_what_a_token_may_do(a: Rows, role: Role, people: bool) -> None:
    caller = make_caller(a.caller.row.advertiser, role, people=people)
    ranks = list(Role)
    found = {}
    for operation in operations(read_schema()):
        # An id that never was: nothing is changed, and what is allowed says 404 (or 400), never 403.
        answer = caller.call(operation.method, operation.with_id(NEVER_IDS[operation.resource]), operation.body)
        least, needs_people = MATRIX[operation.id]
        is_allowed = ranks.index(role) >= ranks.index(least) and (people or not needs_people)
        assert (answer.status_code != 403) == is_allowed, (operation.id, answer.content)
        found[operation.id] = True
    assert set(found) == set(MATRIX)


def test_every_operation_needs_a_token(a: Rows) -> None:
    for operation in operations(read_schema()):
        path = operation.with_id(a.ids[operation.resource])
        answer = a.caller.call(operation.method, path, operation.body, headers={})
        assert answer.status_code == 401, operation.id
        assert answer.json()["code"] == "unauthenticated"


@pytest.mark.spec("T18")
def test_every_operation_refuses_a_query_that_it_does_not_have(a: Rows) -> None:
    before = snapshot(a.caller.row.advertiser)
    for operation in operations(read_schema()):
        path = operation.with_id(a.ids[operation.resource])
        for query in ("password=1", "advertiser=1", "user__password__startswith=a", "format=html"):
            answer = a.caller.call(operation.method, f"{path}?{query}", operation.body)
            assert answer.status_code == 400, operation.id
            assert answer.json()["code"] == "invalid"
    assert snapshot(a.caller.row.advertiser) == before


@pytest.mark.spec("T32")
def test_every_operation_hides_what_went_wrong(a: Rows) -> None:
    for operation in operations(read_schema()):
        path = operation.with_id(a.ids[operation.resource])
        with patch("audience.api.views.refuse_unknown_parameters", side_effect=RuntimeError("secret detail")):
            answer = a.caller.call(operation.method, path, operation.body)
        assert answer.status_code == 500
        assert answer["Content-Type"] == "application/json"
        assert "secret" not in answer.content.decode()
        assert answer.json()["reference"] in answer.json()["message"]


def test_answers_are_as_the_schema_says(a: Rows) -> None:
    schema = read_schema()
    statuses = set()
    for operation in operations(schema):
        own = in_the_body(a, operation, a.ids, a.words) if operation.body else None
        path = operation.with_id(a.ids[operation.resource])
        own = own or (a.caller.get(path, **needed_query(a, operation)) if operation.method == "get" else None)
        if operation.id in ("runs.cancel", "runs.download"):  # the run has ended, and its files are gone
            own = a.caller.call(operation.method, path)
            assert own.status_code == 409
        never = in_the_path(a, operation, NEVER_IDS, NEVER_WORDS)
        invalid = a.caller.call(operation.method, f"{path}?nothing=1", operation.body)
        for answer in (own, never, invalid):
            if answer is not None:
                statuses.add(answer.status_code)
                assert_documented(schema, operation, answer)
    assert statuses >= {200, 201, 400, 404}


def assert_documented(schema: dict[str, Any], operation: Operation, answer: Any) -> None:
    documented = operation.answers.get(str(answer.status_code))
    assert documented, (operation.id, answer.status_code, answer.content)
    if "$ref" in documented:
        documented = schema["components"]["responses"][documented["$ref"].rsplit("/", 1)[1]]
    rules = documented["content"]["application/json"]["schema"] | {"components": schema["components"]}
    errors = [error.message for error in Draft202012Validator(rules).iter_errors(answer.json())]
    assert not errors, (operation.id, answer.status_code, errors, answer.content)


def test_examples_are_as_the_schema_says() -> None:
    schema = read_schema()
    contents = []
    for methods in schema["paths"].values():
        for operation in methods.values():
            contents += [operation.get("requestBody", {}).get("content", {})]
            contents += [answer.get("content", {}) for answer in operation["responses"].values()]
    contents += [answer["content"] for answer in schema["components"]["responses"].values()]
    checked = 0
    for content in contents:
        json_content = content.get("application/json", {})
        examples = [example["value"] for example in json_content.get("examples", {}).values()]
        examples += [json_content["example"]] if "example" in json_content else []
        for example in examples:
            rules = json_content["schema"] | {"components": schema["components"]}
            assert [error.message for error in Draft202012Validator(rules).iter_errors(example)] == []
            checked += 1
    assert checked > 20
