"""The API as integrations meet it: curl, the real server, a real worker; the commands are those of docs/api.md."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from audience.accounts import account_id
from audience.models import Account
from audience.tenancy import acting_for
from exports.models import Destination, Export, ExportColumn, ExportSegment
from segments.models import Segment
from tests.callers import make_caller
from tests.factories import NOON, make_advertiser, make_pixel, make_profile, make_segment
from tests.running import LiveMuster, until

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt install curl")

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "api.md"
COMMAND = re.compile(r"^    (muster (?:[^'\n]|'[^']*')*)$", re.MULTILINE)
SHELL = """
    plain() { curl -sS -w "\\n%{http_code}" -H "Authorization: Bearer $MUSTER_TOKEN" "$@"; }
    muster() { plain -H "Content-Type: application/json" "$@"; }
"""


@dataclass
class Shell:
    """Where the commands of the documentation are run."""

    url: str
    token: str
    folder: Path

    def run(self, command: str) -> tuple[int, str]:
        """Run a command with curl; return status and body."""
        environment = {"MUSTER": f"{self.url}/api/v1", "MUSTER_TOKEN": self.token, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            ["bash", "-c", SHELL + command], env=environment, cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body


def make_rows(folder_name: str) -> tuple[str, dict[str, int | UUID]]:
    """Make what the documentation speaks of; return a token and the ids by what they are called there."""
    advertiser = make_advertiser(name=f"API {folder_name}", redirect_hosts=["ad.partner.example"])
    segment = make_segment(advertiser, "basket")
    make_profile(advertiser, email="jo@example.com")
    person = make_profile(advertiser, customer_id="C-1001")
    pixel = make_pixel(advertiser, segment)
    with acting_for(advertiser.pk):
        destination = Destination.objects.create(
            name="Files", kind="folder", root="exports", path=folder_name, receiver="own", state="ready"
        )
        export = Export.objects.create(name="Basket", destination=destination)
        ExportSegment.objects.create(export=export, segment=segment)
        ExportColumn.objects.create(export=export, source="identifier", identifier_kind="customer_id")
    ids: dict[str, int | UUID] = {"profiles/0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11": person.pk}
    with acting_for(advertiser.pk):
        account = Account.objects.create(
            pk=UUID(bytes=account_id(advertiser.pk, "ACME")), key="ACME", first_seen_at=NOON, last_seen_at=NOON
        )
    ids |= {"accounts/2f1d0c55-8a8b-6c1e-5b7e-4b1f0a9d3c77": account.pk}
    ids["segments/14"] = make_segment(advertiser, "teams", kind=Segment.Kind.RULE, of=Segment.Of.ACCOUNT).pk
    ids |= {"segments/12": segment.pk, "pixels/21": pixel.pk, '"segment": 12': segment.pk, "[12]": segment.pk}
    ids |= {'"profile": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11"': person.pk}
    ids |= {'"destination": 3': destination.pk, '"export": 7': export.pk}
    return make_caller(advertiser).token, ids


def with_ids(command: str, ids: dict[str, int | UUID]) -> str:
    for place, id_ in ids.items():
        command = command.replace(place, re.sub(r"\d[0-9a-f-]*", str(id_), place))
    return command


def test_every_command_of_the_documentation_works(live_muster: LiveMuster, live_models: None, tmp_path: Path) -> None:
    token, ids = make_rows("documentation")
    shell = Shell(live_muster.admin_url, token, tmp_path)
    commands = COMMAND.findall(DOCUMENTATION.read_text())
    assert len(commands) > 12
    answers: dict[str, tuple[int, str]] = {}
    for command in commands:
        answers[command] = shell.run(with_ids(command, ids))
        for mark, (place, await_it) in MAKE.items():
            if mark in command:
                made = re.search(r'"id":(\d+)', answers[command][1])
                assert made, answers[command]
                ids[place] = int(made[1])
                await_it(shell, ids[place])
    refused = {command.split()[1]: answer[0] for command, answer in answers.items() if answer[0] >= 300}
    # No build has failed, and the run has ended when the page comes to cancelling it.
    assert refused == {'"$MUSTER/segments/13/build/retry"': 409, '"$MUSTER/runs/81/cancel"': 409}, answers
    assert [file.name for file in tmp_path.iterdir()] != []


def await_end(shell: Shell, run: int) -> None:
    def state() -> Any:
        _, body = shell.run(f'muster "$MUSTER/runs/{run}"')
        return "delivered" if '"state":"delivered"' in body else None

    until(state, f"run {run} is delivered by the worker")


def await_built(shell: Shell, segment: int) -> None:
    def serving() -> Any:
        _, body = shell.run(f'muster "$MUSTER/segments/{segment}"')
        return json.loads(body)["freshness"]["serving_version"]

    until(serving, f"the rule of segment {segment} is built by the worker")


# What a command makes -> what it is called in those that follow, and what to wait for.
MAKE = {
    '"export": 7': ("runs/81", await_end),
    '"kind": "rule"': ("segments/13", await_built),
    '/partners" -d': ("partners/4", lambda *_: None),
    '/piggybacks" -d': ("piggybacks/6", lambda *_: None),
}


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ('muster "$MUSTER"', 301),
        ('muster "$MUSTER/"', 404),
        ('muster "$MUSTER/segments/"', 404),
        ('muster -I "$MUSTER/segments"', 200),
        ('muster -X PUT "$MUSTER/segments/1" -d "{}"', 405),
        ('muster -X OPTIONS "$MUSTER/segments"', 405),
        ('muster "$MUSTER/segments" -H "Accept: text/html" -H "Authorization: Basic eDp5"', 401),
        ('plain "$MUSTER/segments" -H "Content-Type: text/csv" -d "name"', 415),
        ('head -c 3000000 /dev/zero | muster "$MUSTER/segments" --data-binary @-', 413),
        ('muster "$MUSTER/segments" -H "Transfer-Encoding: chunked" -d "{}"', 411),
        ('muster "$MUSTER/segments?code=%00"', 400),
        ('muster "$MUSTER/segments?code=%ff"', 200),
        ('muster "$MUSTER/schema"', 200),
        ('muster "$MUSTER/docs/"', 200),
    ],
)
def test_the_real_server_answers_in_json(
    live_muster: LiveMuster, live_models: None, tmp_path: Path, command: str, status: int
) -> None:
    token = make_caller(make_advertiser(name=f"API {command}")).token
    found, body = Shell(live_muster.admin_url, token, tmp_path).run(command)
    assert found == status, body
    assert body == "" or "docs" in command or body.startswith(("{", "HTTP/1.1 200"))
