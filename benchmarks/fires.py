"""How fast the door answers durable fires, beside a server that only answers and a Django view that stores."""

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.db import connection

from benchmarks import load, members, stack
from benchmarks.report import Figure, at_least, at_most
from benchmarks.shop import Shop, count_outcomes
from tests.running import descendants

# The bare answer alone varies by a third within minutes.
ROUNDS = 9
ROUNDS_WITH_MANY = 5
MANY = 10_000_000
SECONDS = 6


def against_others(shop: Shop) -> list[Figure]:
    """Measure the door, the bare answer and the naive view, one after the other, several times."""
    raw, door, naive, plain = [], [], [], []
    target = f"/seg?add={shop.segment_id}"
    _migrate_naive()
    with (
        stack.raw_asgi() as raw_url,
        stack.door() as door_url,
        stack.naive_django(settings_url()) as naive_url,
        stack.nginx() as plain_url,
    ):
        warm_up(door_url, shop)
        for _ in range(ROUNDS):
            raw.append(load.fastest(raw_url, target, shop.cookie_file, seconds=SECONDS))
            door.append(_fires(door_url, target, shop))
            naive.append(load.fastest(naive_url, target, shop.cookie_file, seconds=SECONDS))
            plain.append(load.fastest(plain_url, target, shop.cookie_file, seconds=SECONDS // 2))
            print(f"  raw {raw[-1]:,.0f}/s  door {door[-1]:,.0f}/s  naive {naive[-1]:,.0f}/s", end="")
            print(f"  nginx {plain[-1]:,.0f}/s", flush=True)
        memory = max(rss_mib(pid) for pid, line in descendants(os.getpid()).items() if "config.door" in line)
    return [
        Figure("raw_asgi_per_s", raw, "/s"),
        Figure("fires_per_s", door, "/s"),
        Figure("naive_django_per_s", naive, "/s"),
        Figure("fires_vs_raw_asgi", [d / r for d, r in zip(door, raw, strict=True)], "", at_least(0.40)),
        Figure("fires_vs_naive_django", [d / n for d, n in zip(door, naive, strict=True)], "times", at_least(40)),
        Figure("fires_vs_nginx_gif", [d / p for d, p in zip(door, plain, strict=True)], ""),
        Figure("door_memory_mib", [memory], "MiB", at_most(200)),
    ]


def warm_up(url: str, shop: Shop) -> None:
    """Let every visitor be known, by each of the door's processes too: a first visit makes identifier and profile.

    They come at random: after 8 fires of each at each process one visitor in 3,000 is new to it.
    """
    fires = 0.0
    while fires < 8 * stack.DOOR_WORKERS * stack.VISITORS:
        fires += 4 * load.fastest(url, f"/seg?add={shop.segment_id}", shop.cookie_file, seconds=4)


def with_ten_million(shop: Shop) -> list[Figure]:
    """Measure the door before and after 10,000,000 other memberships are in the table, against the bare answer."""
    target = f"/seg?add={shop.segment_id}"
    shares: dict[str, list[float]] = {"empty": [], "full": []}
    with stack.raw_asgi() as raw_url, stack.door() as door_url:
        warm_up(door_url, shop)
        for name in shares:
            if name == "full":
                members.add(shop.advertiser_id, "full", MANY)
            for _ in range(ROUNDS_WITH_MANY):
                raw = load.fastest(raw_url, target, shop.cookie_file, seconds=SECONDS)
                shares[name].append(_fires(door_url, target, shop) / raw)
                print(f"  {name}: {shares[name][-1]:.3f} of raw", flush=True)
    empty = statistics.median(shares["empty"])
    return [Figure("fires_10m_vs_empty", [share / empty for share in shares["full"]], "", at_least(0.8))]


def rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


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
        warm_up(url, shop)
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
        # Its garbage is not to be collected at the cost of those that are measured after it.
        "    editor.execute('ALTER TABLE naive_browser SET (autovacuum_enabled = off)')\n"
        "    editor.execute('ALTER TABLE naive_member SET (autovacuum_enabled = off)')\n"
    )
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS naive_member, naive_browser")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "benchmarks.naive.settings",
        "DATABASE_URL": settings_url(),
    }
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=Path(stack.ROOT), check=True)
