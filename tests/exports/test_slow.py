"""A destination that hangs delays no other one: the exporter of `manage.py up`, and servers that never answer."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from config.environment import OWN_BROKER
from config.leash import leashed
from config.management.commands.up import programs
from exports.dispatch import WORK_ON_RUN
from exports.models import Run
from tests.exports.scene import Scene, names, worker_environment
from tests.exports.servers import Sshd, listener
from tests.running import ROOT, until

HANGING = 4


@pytest.fixture
def hanging(allow_port: Callable[[int], None]) -> Iterator[list[int]]:
    """Ports where somebody answers the call and then says nothing."""
    with ExitStack() as stack:
        ports = [stack.enter_context(listener())[0] for _ in range(HANGING)]
        for port in ports:
            allow_port(port)
        yield ports


@pytest.fixture
def exporter(scene: Scene, sshd: Sshd, hanging: list[int], tmp_path: Path) -> Iterator[dict[str, str]]:
    """The program of the group that works on exports, on this test's database; gives its environment."""
    environment = worker_environment() | {"CELERY_BROKER_URL": OWN_BROKER}
    (program,) = [one for one in programs() if one.name == "exporter"]
    with (tmp_path / "exporter.log").open("wb") as log:
        process = subprocess.Popen(
            leashed(program.command), cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield environment
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.sshd
@pytest.mark.spec("X34")
@pytest.mark.spec("E8")
def test_hanging_destinations_delay_no_other(
    scene: Scene, sshd: Sshd, hanging: list[int], exporter: dict[str, str]
) -> None:
    segment = scene.segment(members=2)
    runs = []
    for port in hanging:
        destination = scene.sftp_destination(sshd, port=port)
        runs += [scene.start(scene.export(destination, segment)) for _ in range(2)]
    _announce(runs, exporter)
    until(lambda: _states(runs) == {"sending"}, "every place of the hanging destinations is taken")

    good = scene.start(scene.export(scene.sftp_destination(sshd), segment, file_name="good_{date}.csv"))
    _announce([good], exporter)
    until(lambda: scene.fresh(good).state == "delivered", "the good one is delivered", timeout_seconds=15)

    assert "good_2027-03-01.csv" in names(sshd.files)
    assert _states(runs) == {"sending"}, "the others still hang"


def _states(runs: list[Run]) -> set[str]:
    return {scene_run.state for scene_run in Run.all_advertisers.filter(pk__in=[run.pk for run in runs])}


def _announce(runs: list[Run], environment: dict[str, str]) -> None:
    """From a process such as the web's: this one speaks to no broker."""
    calls = "; ".join(f"app.send_task({WORK_ON_RUN!r}, [{run.pk}])" for run in runs)
    code = f"import django; django.setup(); from config.celery import app, prepare_broker; prepare_broker(); {calls}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
