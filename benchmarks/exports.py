"""A million members to a gzip CSV, in a folder and on an SFTP server, beside `psql \\copy | gzip` and `sftp`."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from benchmarks import fires, load, members, stack
from benchmarks.report import Figure, at_least, at_most
from benchmarks.shop import Shop
from exports.models import Export, Run
from segments.models import Segment
from tests.exports.scene import Scene
from tests.exports.servers import Sshd

MEMBERS = 1_000_000
ROUNDS = 3
COLUMNS = (
    {"source": "identifier", "identifier_kind": "customer_id"},
    {"source": "starts_at"},
    {"source": "expires_at"},
    {"source": "value"},
)
# The rows of our file in one hand-written query.
QUERY = """
    SELECT i.value AS customer_id, m.starts_at, m.expires_at, m.value
    FROM segments_membership m
    JOIN audience_identifier i ON i.profile_id = m.profile_id AND i.advertiser_id = m.advertiser_id
        AND i.kind = 'customer_id'
    WHERE m.segment_id = {segment} AND m.version = 1 AND m.starts_at <= now() AND now() < m.expires_at
    ORDER BY m.profile_id
"""
# A worker of its own: its memory when idle, and at most while it works.
WORKER = """
import json, resource, sys, time
import django; django.setup()
from exports.working import work_on
from django.db import connection
connection.ensure_connection()
idle = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
started = time.perf_counter()
work_on(int(sys.argv[1]))
seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "mib": peak - idle}))
"""


def one_million(shop: Shop) -> list[Figure]:
    """Export 1,000,000 members and measure the worker's memory above idle."""
    segment = members.add(shop.advertiser_id, "exported", MEMBERS)
    folder = stack.FOLDER / "exported"
    with Sshd(stack.FOLDER / "sshd", port=stack.SSH_PORT) as server:
        scene = Scene(segment.advertiser, folder, folder)
        plain = {"columns": COLUMNS, "compression": "gzip"}
        to_folder = scene.export(scene.folder_destination(), segment, file_name="folder_{run}.csv", **plain)
        to_server = scene.export(scene.sftp_destination(server), segment, file_name="sftp_{run}.csv", **plain)
        ours: list[dict[str, float]] = []
        sent: list[dict[str, float]] = []
        psql: list[float] = []
        sftp: list[float] = []
        for _ in range(ROUNDS):
            psql.append(_psql(segment))
            ours.append(_work(scene, to_folder))
            sftp.append(_psql(segment) + _sftp(server))
            sent.append(_work(scene, to_server))
            print(f"  psql {psql[-1]:.1f} s, ours {ours[-1]['seconds']:.1f} s", end="; ")
            print(f"with sftp {sftp[-1]:.1f} s, ours {sent[-1]['seconds']:.1f} s", flush=True)
        busy, most = _fires_beside(shop, lambda: _work(scene, to_folder))
    seconds, sent_seconds = [one["seconds"] for one in ours], [one["seconds"] for one in sent]
    megabytes = Run.all_advertisers.filter(export=to_folder).first().bytes_plain / 1e6
    return [
        Figure("export_1m_folder_s", seconds, "s", at_most(40)),
        Figure("export_1m_sftp_s", sent_seconds, "s", at_most(40)),
        Figure("export_mb_per_s", [megabytes / one for one in seconds], "MB/s"),
        Figure("export_vs_psql", [one / other for one, other in zip(seconds, psql, strict=True)], "times"),
        Figure(
            "export_sftp_vs_psql_sftp", [one / other for one, other in zip(sent_seconds, sftp, strict=True)], "times"
        ),
        Figure("fires_during_export", [one / most for one in busy], "", at_least(0.5)),
        Figure("export_peak_mib", [one["mib"] for one in (*ours, *sent)], "MiB", at_most(100)),
    ]


def _fires_beside(shop: Shop, work: Callable[[], object]) -> tuple[list[float], float]:
    """Return the fires per second while exports run one after the other, and without them."""
    target = f"/seg?add={shop.segment_id}"
    with stack.door() as url:
        fires.warm_up(url, shop)
        most = load.fastest(url, target, shop.cookie_file, seconds=6)
        with load.beside(url, target, shop.cookie_file, seconds=3) as busy:
            for _ in range(ROUNDS):
                work()
    return busy, most


def _work(scene: Scene, export: Export) -> dict[str, float]:
    run = scene.start(export)
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(run.pk)], cwd=stack.ROOT, capture_output=True, text=True, check=True
    )
    run = scene.fresh(run)
    if run.state != Run.State.DELIVERED or run.rows_written != MEMBERS:
        raise RuntimeError(f"The run is {run.state} with {run.rows_written} rows: {done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _psql(segment: Segment) -> float:
    query = " ".join(QUERY.format(segment=segment.pk).split())
    program = shutil.which("psql") or str(next(Path(sys.prefix).rglob("pginstall*/bin/psql")))
    command = f'"{program}" "$URL" -qc "\\copy ({query}) TO STDOUT CSV HEADER" | gzip > "{stack.FOLDER}/psql.csv.gz"'
    started = time.perf_counter()
    environment = os.environ | {"URL": os.environ["MUSTER_BENCH_DATABASE_URL"]}
    subprocess.run(["bash", "-o", "pipefail", "-c", command], env=environment, check=True)
    return time.perf_counter() - started


def _sftp(server: Sshd) -> float:
    batch = stack.FOLDER / "sftp.batch"
    batch.write_text(f"put {stack.FOLDER}/psql.csv.gz psql.csv.gz\n")
    options = ["-q", "-P", str(server.port), "-i", str(server.folder / "login"), "-b", str(batch)]
    options += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    started = time.perf_counter()
    subprocess.run(["sftp", *options, f"{server.username}@127.0.0.1"], check=True, capture_output=True)
    return time.perf_counter() - started


assert settings.EXPORT_FOLDERS, "stack.prepare_environment() names the folder"
