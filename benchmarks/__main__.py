"""`make bench`: measure on this machine, print the figures beside their targets, keep them in results.json.

`ONLY=name` runs the measurement that yields that figure.
"""

import os
import sys
from collections.abc import Callable

from benchmarks import report, stack

stack.prepare_environment()

import django  # noqa: E402 -- the settings read the environment above

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402

from benchmarks import backfill, exports, fires, messages, rules, sweep  # noqa: E402
from benchmarks.shop import Shop, make_shop  # noqa: E402
from config.postgres import EmbeddedServer  # noqa: E402

Measurement = Callable[[Shop], list[report.Figure]]
MEASUREMENTS: dict[Measurement, tuple[str, ...]] = {
    fires.against_others: (
        "fires_vs_raw_asgi",
        "fires_vs_naive_django",
        "fires_vs_nginx_gif",
        "fires_per_s",
        "door_memory_mib",
    ),
    fires.with_ten_million: ("fires_10m_vs_empty",),
    fires.at_half_load: ("fires_p99_ms_half_load", "fires_p50_ms_half_load"),
    messages.against_fires: ("track_vs_fires", "tracks_per_s"),
    messages.in_batches: ("batch_events_per_s", "batch_vs_insert"),
    messages.own_segments: ("me_segments_p99_ms",),
    rules.against_none: ("rules_100_vs_none", "rules_10_vs_none", "rules_1000_vs_none"),
    rules.at_half_load: ("join_p99_ms", "join_p50_ms"),
    backfill.of_long_histories: ("long_history_vs_short",),
    sweep.one_million: ("sweep_1m_s", "fires_p99_ms_during_sweep", "fires_during_sweep"),
    sweep.one_after_the_other: ("leave_published_p99_s",),
    sweep.one_million_by_rule: ("leaves_1m_s", "fires_during_leaves"),
    backfill.against_sql: ("backfill_profiles_per_s", "backfill_vs_sql"),
    exports.one_million: (
        "export_vs_psql",
        "export_peak_mib",
        "fires_during_export",
        "export_1m_folder_s",
        "export_1m_sftp_s",
        "export_sftp_vs_psql_sftp",
    ),
}


def main() -> int:
    only = os.environ.get("ONLY", "")
    chosen = [one for one, names in MEASUREMENTS.items() if not only or only in names]
    if not chosen:
        names = ", ".join(name for names in MEASUREMENTS.values() for name in names)
        print(f"There is no figure {only}. There are: {names}.", file=sys.stderr)
        return 2
    with EmbeddedServer(settings.DATA_DIR) as server:
        os.environ["MUSTER_BENCH_DATABASE_URL"] = server.url
        call_command("migrate", verbosity=0)
        shop = make_shop()
        figures: list[report.Figure] = []
        for measure in chosen:
            print(f"{measure.__module__.rpartition('.')[2]}: {measure.__doc__.splitlines()[0]}", flush=True)
            found = measure(shop)
            report.write(found)  # at once: what comes later may fail
            figures += found
    stack.clean_up()
    print(f"\n{report.machine()}\n")
    for figure in figures:
        print(figure.row())
    return 1 if any(figure.verdict == "MISSED" for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
