"""Real Celery workers of a running Muster: a message is only a hint, the row is the work."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from audience.tenancy import acting_for
from tests.exports.scene import Scene, check_set, members_by_sql, read_csv
from tests.factories import make_advertiser
from tests.running import LiveMuster, until


@pytest.fixture
def scene(live_muster: LiveMuster, live_models: None) -> Iterator[Scene]:
    """An advertiser of the running Muster; its files go to the folder that a first start has."""
    return Scene(make_advertiser(), live_muster.folder / "exports", live_muster.folder / "runs")


def folder_of(scene: Scene) -> Path:
    return scene.folder / f"of-{scene.advertiser.pk}"


def destination(scene: Scene):
    return scene._destination(kind="folder", root="exports", path=f"of-{scene.advertiser.pk}")


@pytest.mark.spec("X11")
@pytest.mark.spec("R8")
@pytest.mark.spec("E12")
def test_a_run_whose_message_was_lost_is_found_by_the_tick(scene: Scene, live_muster: LiveMuster) -> None:
    """This process speaks to no broker: what it announces is lost, as in a broker that was emptied."""
    assert settings.CELERY_BROKER_URL == "memory://"
    segment = scene.segment(members=3)
    run = scene.start(scene.export(destination(scene), segment))
    assert scene.fresh(run).state == "queued"
    live_muster.manage("shell", "-c", "from exports.calendar import tick; tick(); tick()")
    until(lambda: not scene.fresh(run).is_open, "the worker ends the run")
    delivered = scene.fresh(run)
    assert (delivered.state, delivered.error, delivered.claim) == ("delivered", "", 1)
    assert check_set(folder_of(scene), delivered)["totals"]["rows"] == 3


def test_run_now_reaches_the_worker_at_once(scene: Scene, live_muster: LiveMuster) -> None:
    segment = scene.segment(members=4)
    export = scene.export(destination(scene), segment, compression="gzip")
    words = (
        "from audience.tenancy import acting_for",
        "from exports import models, runs",
        f"with acting_for({scene.advertiser.pk}):",
        f"    runs.start_run(models.Export.objects.get(pk={export.pk}), started_by='Ana')",
    )
    live_muster.manage("shell", "-c", "\n".join(words))
    with acting_for(scene.advertiser.pk):
        run = export.runs.get()
    until(lambda: not scene.fresh(run).is_open, "the worker ends the run", timeout_seconds=20)
    delivered = scene.fresh(run)
    assert (delivered.state, delivered.error) == ("delivered", "")
    (file,) = folder_of(scene).glob("*.csv.gz")
    assert {row[0] for row in read_csv(file)[1:]} == members_by_sql(segment, delivered.as_of)
