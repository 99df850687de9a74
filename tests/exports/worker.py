"""A worker process of a test: `python -m tests.exports.worker RUN` does what a Celery worker's task does.

`STOP_AT` names a crash point at which it goes to sleep (SIGSTOP) instead of dying; `TEST_FILE_LIMIT` is the size at
which its files end, as on a full disk.
"""

import os
import resource
import signal
import sys

import django


def sleep_at(point: str) -> None:
    from exports import sending, working, writing  # noqa: PLC0415 -- after django.setup()

    def sleeping(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGSTOP)

    for module in (sending, working, writing):
        module.crash_point = sleeping


def main() -> None:
    django.setup()
    from exports.tasks import work_on_run  # noqa: PLC0415

    if limit := os.environ.get("TEST_FILE_LIMIT"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    if point := os.environ.get("STOP_AT"):
        sleep_at(point)
    for run_id in sys.argv[1:]:
        work_on_run(int(run_id))


if __name__ == "__main__":
    main()
