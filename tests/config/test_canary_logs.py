"""A person goes through every entrance of a running installation, and is in no log, no broker and no figure of it."""

import http.client
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from pytest_django import DjangoDbBlocker

from audience.models import Advertiser, Role, WriteKey
from audience.tenancy import acting_for
from audience.writekeys import issue_write_key
from exports.models import Destination, Export, ExportColumn, ExportSegment
from segments.models import Segment
from tests.admins import make_user
from tests.browsing import Person
from tests.callers import make_caller
from tests.factories import make_advertiser, make_pixel, make_segment
from tests.pixels.teller import basic
from tests.running import LiveMuster, own_folder, until

pytestmark = [pytest.mark.spec("T22"), pytest.mark.spec("T5"), pytest.mark.spec("P21")]

EMAIL = "Canary.Person+tag@canary-mail.example.com"
PHONE = "+491701234567"
STREET = "Canary Lane 12"
ADDRESS, LONG_ADDRESS = "198.51.100.77", "2001:db8:85a3::77"
SECRET = "canary-of-a-password"
TRACES = re.compile(r"canary|1701234567|170 1234567|198\.51\.100\.77|2001:db8:85a3::77|85a3:0{1,4}:", re.IGNORECASE)
TOLD = {"User-Agent": EMAIL, "X-Forwarded-For": ADDRESS, "Referer": f"https://{EMAIL}"}
TOKEN = "a-token-of-at-least-thirty-two-letters"


@pytest.fixture(scope="module")
def muster() -> Iterator[LiveMuster]:
    environment = {
        "MUSTER_METRICS_TOKEN": TOKEN,
        "MUSTER_TRUSTED_PROXIES": "127.0.0.1/32",
        "DELIVERY_ALLOWED_NETWORKS": "127.0.0.0/8",
        "DELIVERY_ALLOWED_PORTS": "1",
        "LOG_LEVEL": "DEBUG",
    }
    muster = LiveMuster(own_folder("entrances"), environment=environment)
    try:
        yield muster.start()
    finally:
        muster.close()


@pytest.fixture
def rows(muster: LiveMuster, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), muster.orm():
        yield


class Visitor:
    """Sends requests with the person in whatever can be written into them."""

    def __init__(self, url: str) -> None:
        self.at = urlsplit(url)
        self.statuses: list[int] = []

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> bytes:
        told = {
            "Host": self.at.netloc,
            "User-Agent": f"Browser/1.0 ({EMAIL}; {PHONE})",
            "Referer": f"https://shop.example/{quote(EMAIL)}?phone={quote(PHONE)}",
            "X-Forwarded-For": f"{LONG_ADDRESS}, {ADDRESS}",
            "Cookie": f"muid={quote(EMAIL)}; other={quote(PHONE)}",
            "X-Request-Id": EMAIL,
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.at.hostname or "", self.at.port or 80, timeout=20)
        try:
            connection.request(method, path, body, {name: value for name, value in told.items() if value})
            answer = connection.getresponse()
            self.statuses.append(answer.status)
            return answer.read()
        finally:
            connection.close()


def test_nobody_is_in_the_logs(muster: LiveMuster, rows: None) -> None:
    advertiser = make_advertiser(name="Kettle & Co")
    segment = make_segment(advertiser)
    fire_pixels(muster, segment, make_pixel(advertiser, segment).public_key)
    tell_of_the_person(muster, advertiser)
    call_the_api(muster, segment)
    stumble_over_the_login(muster, advertiser)
    operate_the_admin(muster, segment)
    export_the_person(muster, segment)
    read = read_everything(muster)
    assert len(read["logs/door.log"]) + len(read["logs/web.log"]) > 1_000
    found = {name: [line for line in text.splitlines() if TRACES.search(line)][:5] for name, text in read.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}
    for name, text in read.items():
        if name.startswith("logs/"):
            assert [line for line in text.splitlines() if not isinstance(json.loads(line), dict)] == []


def fire_pixels(muster: LiveMuster, segment: Segment, key: str) -> None:
    door = Visitor(muster.pixel_url)
    person = urlencode({"email": EMAIL, "other": EMAIL, "pg": f"/{EMAIL}", "eid": PHONE, "value": PHONE, "x": STREET})
    for path in (
        f"/p/{key}.gif",
        f"/p/{key}.js",
        "/seg",
        f"/p/{quote(EMAIL)}.gif",
        f"/{quote(EMAIL)}",
        "/health/ready",
    ):
        door.ask(f"{path}?add={segment.pk}&{person}")
        door.ask(f"{path}?add={segment.pk}&{person}", "POST", body=EMAIL)
        door.ask(f"{path}?add={quote(EMAIL)}&{person}", "HEAD")
    door.ask(f"/p/{key}.gif?email=%FF{quote(EMAIL)}%00")
    door.ask(f"/p/{key}.gif?q={quote(EMAIL) * 500}")
    door.ask(f"/p/{key}.gif", Muster_Replay=EMAIL, Cookie="")
    assert {200, 404} <= set(door.statuses)
    assert not [status for status in door.statuses if status >= 500 and status != 503]


def tell_of_the_person(muster: LiveMuster, advertiser: Advertiser) -> None:
    """Messages with the person in every field, good and bad, at the door and at the admin's host."""
    _, key = issue_write_key(advertiser, name="CRM", kind=WriteKey.Kind.SERVER)
    told = {"email": EMAIL, "phone": PHONE, "street": STREET}
    said = {
        **{"userId": EMAIL, "anonymousId": PHONE, "event": EMAIL, "name": STREET, "messageId": EMAIL},
        **{"groupId": EMAIL, "previousId": PHONE, "properties": told, "traits": told},
        "context": {"ip": ADDRESS, "userAgent": EMAIL, "page": {"url": f"https://shop.example/{EMAIL}"}},
    }
    for url in (muster.pixel_url, muster.admin_url):
        client = Visitor(url)
        for call in ("track", "identify", "page", "group", "alias", quote(EMAIL)):
            for body in (said, {**said, "timestamp": EMAIL}, {**said, "userHash": EMAIL}, [EMAIL]):
                client.ask(f"/v1/{call}?email={quote(EMAIL)}", "POST", json.dumps(body), Authorization=basic(key))
        client.ask("/v1/track", "POST", f'{{"{EMAIL}', Authorization=basic(EMAIL), Origin=f"https://{EMAIL}")
        client.ask(f"/v1/projects/{quote(EMAIL)}/settings")
        client.ask(f"/v1/me/segments?key={quote(EMAIL)}&codes={quote(EMAIL)}", Muster_Id=EMAIL)
        assert {200, 400, 401, 404} <= set(client.statuses)
        assert not [status for status in client.statuses if status >= 500]


def call_the_api(muster: LiveMuster, segment: Segment) -> None:
    api = Visitor(muster.admin_url)
    token = make_caller(Advertiser.objects.get(pk=segment.advertiser_id)).token
    allowed = {"Authorization": f"Bearer {token}", "Content_Type": "application/json"}
    people = [("email", EMAIL), ("phone", PHONE), ("customer_id", STREET), ("browser", EMAIL), (EMAIL, EMAIL)]
    asked = [{"identifier": {"kind": kind, "value": value}} for kind, value in people]
    members, find = f"/api/v1/segments/{segment.pk}/members", "/api/v1/profiles/find"
    answer = json.loads(api.ask(members, "POST", json.dumps({"add": asked[:4]}), **allowed))
    assert answer["applied"] == 3
    for body in (
        {"add": asked},
        {EMAIL: EMAIL},
        [EMAIL],
        {"add": [{"identifier": {"kind": "email", "value": [EMAIL]}}]},
    ):
        api.ask(members, "POST", json.dumps(body), **allowed)
    api.ask(members, "POST", f'{{"{EMAIL}', **allowed)
    api.ask(members, "POST", json.dumps({"add": asked}), Authorization=f"Bearer {EMAIL}")
    api.ask(find, "POST", json.dumps({"kind": "email", "value": EMAIL}), **allowed)
    api.ask(f"/api/v1/profiles?kind=email&value={quote(EMAIL)}", **allowed)
    api.ask(f"/api/v1/profiles/{quote(EMAIL)}?{quote(EMAIL)}", **allowed)
    api.ask(f"/api/v1/segments?ordering={quote(EMAIL)}&name={quote(EMAIL)}", **allowed)
    api.ask(f"/api/v1/{quote(EMAIL)}", **allowed)
    api.ask(f"/{quote(STREET)}/{quote(PHONE)}", "BREW", Host=EMAIL)
    assert {200, 400, 401, 404} <= set(api.statuses)


def stumble_over_the_login(muster: LiveMuster, advertiser: Advertiser) -> None:
    """Somebody who mistypes, forgets the password, and has no token of the form."""
    user = make_user(username="canary-user", email=EMAIL)
    user.set_password(SECRET)
    user.save()
    stranger = Person(muster.admin_url, **TOLD)
    status, _ = stranger.post("/admin/login/", "username", username=EMAIL, password=SECRET)
    assert status == 200
    status, _ = stranger.post("/admin/password_reset/", "email", email=EMAIL)
    assert status == 200
    assert stranger.post(f"/health/live?{quote(EMAIL)}", at="/admin/login/", username=EMAIL)[0] == 403
    assert stranger.get(f"/admin/{quote(EMAIL)}/?next={quote(EMAIL)}")[0] in (200, 404)
    stranger.opener.addheaders = [("Host", EMAIL), ("X-Forwarded-Host", EMAIL)]
    stranger.get("/admin/")


def operate_the_admin(muster: LiveMuster, segment: Segment) -> None:
    """The operator looks for the person, invites it to the team, and tries a destination that names it."""
    operator = Person(muster.admin_url, **TOLD)
    operator.sign_in("operator", muster.operator_password)
    for path in (
        f"/admin/audience/profile/?q={quote(EMAIL)}",
        f"/admin/segments/segment/?q={quote(EMAIL)}",
        f"/admin/segments/segment/{quote(EMAIL)}/overview/",
        f"/admin/audience/profile/{quote(PHONE)}/change/",
        "/admin/system/",
    ):
        operator.get(path)
    status, page = operator.post(
        "/admin/audience/teammembership/add/", "address", address=f"two.{EMAIL}", role=Role.VIEWER
    )
    assert status == 200
    assert "two.canary" in page.lower()
    add = "/admin/exports/destination/add/"
    typed = {"name": EMAIL, "host": "127.0.0.1", "port": "1", "username": EMAIL, "password": SECRET, "kind": "sftp"}
    _, told = operator.post(add, "host", f"{add}try/", login="password", receiver="own", **typed)
    assert "is_passed" in told
    assert operator.post(add, "host", f"{add}fetch-key/", **typed)[0] == 200
    operator.post(add, "host", f"{add}fetch-key/", **typed | {"host": f"{EMAIL}.example"})
    assert operator.post(add, "host", login="password", receiver="own", **typed)[0] == 200
    assert Destination.all_advertisers.filter(username=EMAIL).exists()


def export_the_person(muster: LiveMuster, segment: Segment) -> None:
    """One run is delivered, one finds nobody at its destination."""
    api = Visitor(muster.admin_url)
    token = make_caller(Advertiser.objects.get(pk=segment.advertiser_id)).token
    allowed = {"Authorization": f"Bearer {token}", "Content_Type": "application/json"}
    with acting_for(segment.advertiser_id):
        folder = Destination.objects.create(
            name="F", kind="folder", root="exports", path="x", receiver="own", state="ready"
        )
        Destination.objects.filter(username=EMAIL).update(state="ready")
        exports = []
        for destination in (folder, Destination.objects.get(username=EMAIL)):
            export = Export.objects.create(name=f"{EMAIL} {destination.kind}", destination=destination)
            ExportSegment.objects.create(export=export, segment=segment)
            ExportColumn.objects.create(export=export, source="identifier", identifier_kind="email")
            api.ask("/api/v1/runs", "POST", json.dumps({"export": export.pk}), **allowed)
            exports.append(export)
        assert api.statuses == [201, 201]

        def have_ended() -> bool:
            return [export.runs.get().state for export in exports] in (
                ["delivered", "failed"],
                ["delivered", "waiting"],
            )

        until(have_ended, "both runs have come to something")
        run = exports[0].runs.get()
    api.ask(f"/api/v1/runs/{run.pk}/files/0", **allowed)
    assert list((muster.folder / "exports" / "x").glob("*.csv*"))


def read_everything(muster: LiveMuster) -> dict[str, str]:
    """Return the text of every log, of the queues and of the metrics, by a name."""
    request = urllib.request.Request(f"{muster.admin_url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    read = {"metrics": urllib.request.urlopen(request).read().decode()}
    assert 'muster_task_seconds_count{result="done",task="exports.tasks.work_on_run"}' in read["metrics"]
    assert 'muster_export_runs_total{reason="",state="delivered"} 1.0' in read["metrics"]
    with muster.connect() as connection:
        tables = connection.execute("SELECT queue_name FROM pgmq.meta").fetchall()
        for (queue,) in tables:
            for kind in ("q", "a"):
                messages = connection.execute(f"SELECT * FROM pgmq.{kind}_{queue}").fetchall()
                read[f"queue {queue}"] = "\n".join(map(str, messages))
    logs = [*muster.folder.glob("*.log"), *muster.folder.rglob("logs/*"), *muster.folder.glob("postgres/server.log*")]
    return read | {name_of(path, muster): path.read_text(errors="replace") for path in logs}


def name_of(path: Path, muster: LiveMuster) -> str:
    return str(path.relative_to(muster.folder))
