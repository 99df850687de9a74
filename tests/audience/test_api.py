"""What every resource of the API keeps: who calls, what is refused, and how an answer looks."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections
from django.test import Client, override_settings
from django.utils import timezone
from rest_framework.exceptions import Throttled

from audience.api import errors
from audience.api.limits import count_call
from audience.models import ApiCalls, Role
from audience.tenancy import current_advertiser_id
from audience.tokens import revoke_token
from segments.models import Segment
from tests.callers import Caller, make_caller
from tests.factories import make_advertiser, make_segment

pytestmark = pytest.mark.django_db


@pytest.fixture
def caller() -> Caller:
    return make_caller(make_advertiser())


def assert_error(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code
    assert body["message"]
    return body


class TestWhoCalls:
    def test_a_token_opens_the_api(self, caller: Caller) -> None:
        assert caller.get("/segments").status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            "Bearer nonsense",
            "Basic {token}",
            "Token {token}",
            "{token}",
            "Bearer {token}x",
            "Bearer  {token} {token}",
            "Bearer {token}\x00",
            "Bearer \xe9\xe9",
            "Bearer " + "a" * 5000,
        ],
    )
    def test_anything_else_is_401(self, caller: Caller, header: str | None) -> None:
        headers = {} if header is None else {"Authorization": header.replace("{token}", caller.token)}
        answer = caller.call("get", "/segments", headers=headers)
        assert_error(answer, 401, "unauthenticated")
        assert answer["WWW-Authenticate"] == "Bearer"

    def test_a_token_in_the_address_is_no_token(self, caller: Caller) -> None:
        assert_error(caller.call("get", f"/segments?token={caller.token}", headers={}), 401, "unauthenticated")

    def test_a_login_of_the_admin_opens_nothing(self, admin_client: Client) -> None:
        assert_error(admin_client.get("/api/v1/segments"), 401, "unauthenticated")

    def test_an_expired_token_is_401(self) -> None:
        caller = make_caller(make_advertiser(), expires_at=timezone.now() - timedelta(seconds=1))
        assert_error(caller.get("/segments"), 401, "unauthenticated")

    @pytest.mark.spec("T24")
    def test_a_revoked_token_is_401_on_the_next_call(self, caller: Caller) -> None:
        assert caller.get("/segments").status_code == 200
        revoke_token(caller.row)
        assert_error(caller.get("/segments"), 401, "unauthenticated")

    def test_nobody_is_acted_for_after_a_call(self, caller: Caller) -> None:
        caller.get("/segments")
        caller.get("/segments/0")
        assert current_advertiser_id() is None

    def test_a_login_does_not_change_for_whom_the_token_acts(self, admin_client: Client, caller: Caller) -> None:
        make_segment(make_advertiser(name="Entered by the operator"), "theirs")
        own = make_segment(caller.row.advertiser, "own")
        caller.client = admin_client
        assert [row["id"] for row in caller.get("/segments").json()["results"]] == [own.pk]


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("get", "/segments/999", 404, "not_found"),
            ("get", "/segments/99999999999999999999999999", 404, "not_found"),
            ("get", "/segments/1e3", 404, "not_found"),
            ("get", "/segments/", 404, "not_found"),
            ("get", "/nothing/here", 404, "not_found"),
            ("get", "/", 404, "not_found"),
            ("put", "/segments/1", 405, "method_not_allowed"),
            ("options", "/segments", 405, "method_not_allowed"),
            ("delete", "/segments", 405, "method_not_allowed"),
            ("trace", "/segments", 405, "method_not_allowed"),
        ],
    )
    def test_addresses_and_methods(self, caller: Caller, method: str, path: str, status: int, code: str) -> None:
        assert_error(caller.call(method, path), status, code)

    @pytest.mark.parametrize("path", ["/segments/999", "/nothing", "/segments"])
    @pytest.mark.spec("T32")
    def test_a_client_that_wants_html_gets_json(self, caller: Caller, path: str) -> None:
        headers = {"Authorization": f"Bearer {caller.token}", "Accept": "text/html"}
        assert caller.call("get", path, headers=headers)["Content-Type"] == "application/json"
        assert caller.call("get", path, headers={"Accept": "text/html"})["Content-Type"] == "application/json"

    @pytest.mark.parametrize(
        "content_type", ["text/csv", "application/x-www-form-urlencoded", "multipart/form-data", ""]
    )
    def test_a_body_that_is_not_declared_as_json_is_415(self, caller: Caller, content_type: str) -> None:
        answer = caller.call("post", "/segments", data="name=Cart", content_type=content_type)
        assert_error(answer, 415, "unsupported_media_type")

    @pytest.mark.parametrize(
        "body",
        ["{", "nothing", b"\xff\xfe", '{"lifetime_minutes": NaN}', "[" * 100_000, '{"a": 1' + "0" * 5000 + "}"],
    )
    def test_a_body_that_is_no_json_is_malformed(self, caller: Caller, body: str | bytes) -> None:
        answer = caller.call("post", "/segments", data=body, content_type="application/json")
        assert_error(answer, 400, "malformed")

    @pytest.mark.parametrize("body", ["[]", "1", "null", '"Cart"', '[{"name": "Cart", "code": "cart"}]'])
    def test_a_body_that_is_no_object_is_invalid(self, caller: Caller, body: str) -> None:
        answer = caller.call("post", "/segments", data=body, content_type="application/json")
        assert_error(answer, 400, "invalid")

    @override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1000)
    def test_a_body_beyond_the_limit_is_413(self, caller: Caller) -> None:
        body = {"name": "Cart", "code": "cart", "description": "x" * 2000}
        assert_error(caller.post("/segments", body), 413, "payload_too_large")
        assert caller.post("/segments", body | {"description": "x" * 100}).status_code == 201

    @pytest.mark.spec("T32")
    def test_what_nobody_foresaw_shows_a_reference_number_only(self, caller: Caller, caplog: Any) -> None:
        with patch.object(Segment, "clean", side_effect=RuntimeError("secret detail")):
            answer = caller.post("/segments", {"name": "Cart", "code": "cart"})
        body = assert_error(answer, 500, "internal")
        assert b"secret" not in answer.content
        assert body["reference"] in body["message"]
        assert body["reference"] in caplog.text

    def test_a_database_that_is_away_is_503(self, caller: Caller) -> None:
        with patch(
            "audience.api.authentication.verify_token", side_effect=OperationalError("no route to db.internal")
        ):
            answer = caller.get("/segments")
        assert_error(answer, 503, "unavailable")
        assert answer["Retry-After"]
        assert b"db.internal" not in answer.content

    def test_validation_names_each_field(self, caller: Caller) -> None:
        body = {"name": "", "lifetime_minutes": 0, "domains": ["shop.example", "HTTP://x"], "colour": "red"}
        answer = assert_error(caller.post("/segments", body), 400, "invalid")
        assert set(answer["fields"]) == {"colour"}
        del body["colour"]
        answer = assert_error(caller.post("/segments", body), 400, "invalid")
        assert set(answer["fields"]) == {"name", "code", "lifetime_minutes", "domains.1"}
        assert answer["message"].startswith("name: ")
        assert answer["message"].endswith("And 3 more.")

    def test_no_answer_is_kept_on_the_way(self, caller: Caller) -> None:
        for answer in (
            caller.get("/segments"),
            caller.get("/segments/0"),
            caller.call("get", "/segments", headers={}),
        ):
            assert answer["Cache-Control"] == "no-store, private"

    def test_every_kind_has_its_own_code(self) -> None:
        assert len({kind.code for kind in errors.KINDS}) == len(errors.KINDS)


@pytest.mark.spec("T18")
class TestClosedLists:
    @pytest.mark.parametrize(
        "query",
        [
            {"colour": "red"},
            {"code__startswith": "c"},
            {"advertiser": "1"},
            {"advertiser_id": "1"},
            {"format": "html"},
            {"ordering": "password"},
            {"ordering": "advertiser__name"},
            {"ordering": "id,name"},
            {"ordering": ""},
            {"ordering": ["id", "name"]},
            {"kind": "none"},
            {"is_active": "perhaps"},
            {"limit": "0"},
            {"limit": "-1"},
            {"limit": "1001"},
            {"limit": "1e3"},
            {"limit": "٣"},
            {"limit": ""},
            {"cursor": ""},
            {"cursor": "nonsense"},
            {"cursor": "WzEyXQ:1vNqXk:r3jV0cY0sP9m"},
            {"code": "\x00"},
            {"code": "c" * 51},
        ],
    )
    def test_a_query_that_is_not_in_them_is_400(self, caller: Caller, query: dict[str, str]) -> None:
        answer = assert_error(caller.get("/segments", **query), 400, "invalid")
        assert set(answer["fields"]) == set(query)

    @pytest.mark.parametrize("method", ["get", "patch", "delete"])
    def test_an_operation_on_one_row_takes_no_query(self, caller: Caller, method: str) -> None:
        segment = make_segment(caller.row.advertiser)
        body = {} if method == "patch" else None
        answer = caller.call(method, f"/segments/{segment.pk}?force=1", body)
        assert_error(answer, 400, "invalid")
        assert caller.get(f"/segments/{segment.pk}").status_code == 200


class TestPages:
    @pytest.fixture
    def named(self, caller: Caller) -> list[int]:
        """Segments whose names are not in the order of their ids, two of them alike."""
        names = ["delta", "alpha", "echo", "alpha", "bravo", "charlie", "alpha"]
        return [make_segment(caller.row.advertiser, f"s{n}", name=name).pk for n, name in enumerate(names)]

    def walk(self, caller: Caller, **query: Any) -> Iterator[dict[str, Any]]:
        cursor: dict[str, str] = {}
        while True:
            page = caller.get("/segments", **query, **cursor).json()
            yield from page["results"]
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    @pytest.mark.parametrize("ordering", ["id", "-id", "name", "-name", "created_at", "-created_at"])
    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
    def test_pages_hold_every_row_once_in_order(
        self, caller: Caller, named: list[int], ordering: str, limit: int
    ) -> None:
        rows = list(self.walk(caller, ordering=ordering, limit=limit))
        key = ordering.lstrip("-")
        expected = sorted(rows, key=lambda row: (row[key], row["id"]), reverse=ordering.startswith("-"))
        assert rows == expected
        assert sorted(row["id"] for row in rows) == sorted(named)

    def test_a_row_made_meanwhile_shifts_nothing(self, caller: Caller, named: list[int]) -> None:
        first = caller.get("/segments", ordering="name", limit=3).json()
        make_segment(caller.row.advertiser, "new", name="aaa")
        second = caller.get("/segments", ordering="name", limit=3, cursor=first["next_cursor"]).json()
        names = [row["name"] for row in first["results"] + second["results"]]
        assert names == ["alpha", "alpha", "alpha", "bravo", "charlie", "delta"]

    def test_no_offset_and_no_count(
        self, caller: Caller, named: list[int], django_assert_max_num_queries: Any
    ) -> None:
        cursor = caller.get("/segments", limit=2).json()["next_cursor"]
        with django_assert_max_num_queries(10) as queries:
            caller.get("/segments", limit=2, cursor=cursor)
        statements = " ".join(query["sql"] for query in queries if 'FROM "segments_segment"' in query["sql"])
        assert "LIMIT 3" in statements
        assert "OFFSET" not in statements
        assert "COUNT(" not in statements

    def test_a_cursor_counts_for_its_ordering_and_its_advertiser(self, caller: Caller, named: list[int]) -> None:
        cursor = caller.get("/segments", ordering="name", limit=2).json()["next_cursor"]
        assert_error(caller.get("/segments", ordering="-name", limit=2, cursor=cursor), 400, "invalid")
        other = make_caller(make_advertiser())
        assert_error(other.get("/segments", ordering="name", limit=2, cursor=cursor), 400, "invalid")


class TestLimit:
    @override_settings(API_CALLS_A_MINUTE=2)
    def test_a_call_beyond_the_limit_is_429_and_says_when(self, caller: Caller) -> None:
        ApiCalls.objects.create(token=caller.row, minute=timezone.now() - timedelta(minutes=1), calls=100)
        minute = timezone.now().replace(second=0, microsecond=0)
        answers = [caller.get("/segments") for _ in range(5)]
        if timezone.now() - minute < timedelta(minutes=1):
            assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 429]
        assert_error(answers[-1], 429, "rate_limited")
        assert 1 <= int(answers[-1]["Retry-After"]) <= 60
        assert make_caller(caller.row.advertiser).get("/segments").status_code == 200

    @override_settings(API_CALLS_A_MINUTE=2)
    def test_the_next_minute_is_free_again(self, caller: Caller) -> None:
        at = timezone.now().replace(second=59)
        count_call(caller.row, at)
        count_call(caller.row, at)
        with pytest.raises(Throttled):
            count_call(caller.row, at)
        count_call(caller.row, at + timedelta(seconds=1))

    @override_settings(API_CALLS_A_MINUTE=1)
    def test_refused_calls_count_too(self, caller: Caller) -> None:
        viewer = make_caller(caller.row.advertiser, Role.VIEWER)
        ApiCalls.objects.create(token=viewer.row, minute=timezone.now() + timedelta(days=1), calls=0)
        viewer.post("/segments", {})
        assert ApiCalls.objects.get(token=viewer.row).calls == 1


@pytest.mark.spec("T23")
@pytest.mark.django_db(transaction=True)
@override_settings(API_CALLS_A_MINUTE=20)
def test_parallel_calls_pass_the_limit_never() -> None:
    token = make_caller(make_advertiser()).row
    at = timezone.now()

    def passes(_: int) -> bool:
        try:
            count_call(token, at)
        except Throttled:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(passes, range(50))) == 20


def test_counting_a_call_is_not_flushed_to_disk() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'audience_apicalls'")
        assert cursor.fetchone() == ("u",)


class TestDescription:
    def test_the_schema_is_json_and_asks_for_no_token(self, client: Client) -> None:
        answer = client.get("/api/v1/schema")
        assert answer.status_code == 200
        schema = json.loads(answer.content)
        assert schema["openapi"].startswith("3.")
        assert "/api/v1/segments" in schema["paths"]

    def test_the_schema_is_valid_and_generated_without_a_warning(self, tmp_path: Path) -> None:
        call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yaml"))
        assert (tmp_path / "schema.yaml").read_text().startswith("openapi: 3.1")

    def test_the_page_loads_files_of_ours_only(self, client: Client) -> None:
        answer = client.get("/api/v1/docs/")
        assert answer.status_code == 200
        html = answer.content.decode()
        assert "<style" not in html
        assert "http" not in html
        assert "unsafe" not in answer["Content-Security-Policy"]
