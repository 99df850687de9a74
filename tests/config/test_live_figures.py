"""What the processes of a running Muster count arrives at Prometheus."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import METRICS_TOKEN
from tests.factories import make_advertiser, make_pixel, make_segment
from tests.running import LiveMuster, until


def figures(muster: LiveMuster) -> dict[tuple[str, ...], float]:
    request = urllib.request.Request(
        f"{muster.admin_url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}


def test_a_fire_is_counted_by_the_process_that_took_it(live_muster, live_models):
    advertiser = make_advertiser()
    pixel = make_pixel(advertiser, make_segment(advertiser))
    before = figures(live_muster)

    def fired() -> bool:
        """Fire; soon the door knows the pixel."""
        urllib.request.urlopen(f"{live_muster.pixel_url}/p/{pixel.public_key}.gif", timeout=20).close()
        now = figures(live_muster)
        return all(
            now.get(name, 0) > before.get(name, 0)
            for name in (
                ("muster_fires_total", "", "applied"),
                ("muster_door_answers_total", "200"),
                ("muster_batch_fires_count",),
                ("muster_commit_seconds_count",),
            )
        )

    until(fired, "the fire, its answer and its batch are counted", timeout_seconds=20)
    assert figures(live_muster)["muster_spool_bytes",] == 0
