"""How fast the door answers durable fires, beside a server that only answers and a Django view that stores."""

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.db import connection

from benchmarks import load, stack
from benchmarks.report import Figure, at_least, at_most
from benchmarks.shop import Shop, count_outcomes

ROUNDS = 5
SECONDS = 6


def against_others(shop: Shop) -> list[Figure]:
    """Measure the door, the bare answer and the naive view, one after the other, several times."""
    raw, door, naive = [], [], []
    target = f"/seg?add={shop.segment_id}"
    _migrate_naive()
    with stack.raw_asgi() as raw_url, stack.door() as door_url, stack.naive_django(settings_url()) as naive_url:
        load.fastest(door_url, target, shop.cookie_file, seconds=2 * SECONDS)
        for _ in range(ROUNDS):
            raw.append(load.fastest(raw_url, target, shop.cookie_file, seconds=SECONDS))
            door.append(_fires(door_url, target, shop))
            naive.append(load.fastest(naive_url, target, shop.cookie_file, seconds=SECONDS))
            print(f"  raw {raw[-1]:,.0f}/s  door {door[-1]:,.0f}/s  naive {naive[-1]:,.0f}/s", flush=True)
    return [
        Figure("raw_asgi_per_s", raw, "/s"),
        Figure("fires_per_s", door, "/s"),
        Figure("naive_django_per_s", naive, "/s"),
        Figure("fires_vs_raw_asgi", [d / r for d, r in zip(door, raw, strict=True)], "", at_least(0.30)),
        Figure("fires_vs_naive_django", [d / n for d, n in zip(door, naive, strict=True)], "times", at_least(20)),
    ]


def _fires(url: str, target: str, shop: Shop) -> float:
    """Return the fires per second, and stop if an answer left without its row."""
    before = count_outcomes("applied")
    per_second = load.fastest(url, target, shop.cookie_file, seconds=SECONDS)
    applied = count_outcomes("applied") - before
    if applied < per_second * SECONDS * 0.98:
        raise RuntimeError(f"{per_second * SECONDS:.0f} answers, but {applied} fires were stored.")
    return per_second


def at_half_load(shop: Shop) -> list[Figure]:
    """Measure the time from request to answer at half of what the door can do."""
    target = f"/seg?add={shop.segment_id}"
    medians, tails = [], []
    with stack.door() as url:
        most = load.fastest(url, target, shop.cookie_file, seconds=SECONDS)
        for _ in range(3):
            times = load.at_rate(url, target, shop.cookies, per_second=most / 2, seconds=SECONDS)
            medians.append(load.percentile(times, 50))
            tails.append(load.percentile(times, 99))
            print(f"  at {most / 2:,.0f}/s: p50 {medians[-1]:.1f} ms, p99 {tails[-1]:.1f} ms", flush=True)
    return [
        Figure("fires_p50_ms_half_load", medians, "ms"),
        Figure("fires_p99_ms_half_load", tails, "ms", at_most(25)),
    ]


def settings_url() -> str:
    return str(settings.DATABASE_URL or os.environ["MUSTER_BENCH_DATABASE_URL"])


def _migrate_naive() -> None:
    """Make the naive view's tables in a schema of their own making: no migration, just what its models say."""
    code = (
        "import django; django.setup()\n"
        "from django.db import connection\n"
        "from benchmarks.naive.models import Browser, Member\n"
        "with connection.schema_editor() as editor:\n"
        "    editor.create_model(Browser); editor.create_model(Member)\n"
    )
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS naive_member, naive_browser")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "benchmarks.naive.settings",
        "DATABASE_URL": settings_url(),
    }
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=Path(stack.ROOT), check=True)
