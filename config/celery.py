"""Background work: the Celery application, and what is due how often.

What a marketer schedules is a row of Export, found by `exports.tasks.tick`; the table here holds the
installation's own clockwork. That is why there is no django-celery-beat: it would be a third timetable.
"""

import os
from datetime import timedelta
from typing import Any

from celery import Celery, signals
from django.conf import settings

from config import broker
from config.environment import OWN_BROKER, conninfo
from config.leash import end_with_starter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("muster")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()  # the current app is one thread's; this is every thread's

# Task -> seconds between two of its runs.
CLOCKWORK = {
    "segments.tasks.sweep": 2,
    "segments.tasks.merge_counts": 5,
    "pixels.tasks.merge_counts": 5,
    "exports.tasks.tick": 60,
    "exports.tasks.drop_kept_files": 3600,
    "audience.tasks.make_partitions": 3600,
    "audience.tasks.drop_old_partitions": 3600,
    "pixels.tasks.forget_pages": 3600,
    "segments.tasks.forget_passers_by": 24 * 3600,
    "segments.tasks.check_counts": 24 * 3600,
}


def beat_schedule(tasks: set[str]) -> dict[str, dict[str, Any]]:
    """Return beat's entries for those of CLOCKWORK that exist.

    A message that waited for longer than its interval is dropped: the next one does its work.
    """
    return {
        name: {"task": name, "schedule": timedelta(seconds=seconds), "options": {"expires": seconds}}
        for name, seconds in CLOCKWORK.items()
        if name in tasks
    }


def prepare_broker() -> None:
    """Have the queues' tables in place where the broker is our own database."""
    if settings.CELERY_BROKER_URL == OWN_BROKER:
        broker.prepare(conninfo(settings.DATABASES["default"]))


def on_worker_init(**_: object) -> None:
    """Before the first look into the queue: have the queue, and tell the pool's children who we are."""
    prepare_broker()
    worker_pid = os.getpid()
    signals.worker_process_init.connect(lambda **_: end_with_starter(worker_pid), weak=False)


def keep_our_logging(**_: object) -> None:
    """Leave logging as Django's settings have it."""


signals.worker_init.connect(on_worker_init)
signals.setup_logging.connect(keep_our_logging)
