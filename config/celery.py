"""Background work: the Celery application.

What a marketer schedules is a row of Export, found by `exports.tasks.tick`; `config.clockwork` holds what the
installation does by itself. That is why there is no django-celery-beat: it would be a third timetable.
"""

import os
from typing import Any

from celery import Celery, signals
from django.conf import settings

from config import broker
from config.environment import OWN_BROKER, conninfo
from config.heartbeat import Pulse
from config.leash import end_with_starter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

broker.use()
app = Celery("muster", task_cls="config.clockwork:MeasuredTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()  # the current app is one thread's; this is every thread's

_pulse: Pulse | None = None


def prepare_broker() -> None:
    """Have the queues' tables in place where the broker is our own database."""
    if settings.CELERY_BROKER_URL == OWN_BROKER:
        broker.prepare(conninfo(settings.DATABASES["default"]))


def on_worker_init(**_: object) -> None:
    """Before the first look into the queue: have the queue, and tell the pool's children who we are."""
    prepare_broker()
    worker_pid = os.getpid()
    signals.worker_process_init.connect(lambda **_: end_with_starter(worker_pid), weak=False)


def on_worker_ready(sender: Any, **_: object) -> None:
    """From here on somebody can see that this worker lives. A worker is named after its queue, see `up`."""
    global _pulse
    _pulse = Pulse(str(sender.hostname).partition("@")[0])
    _pulse.start()


def on_worker_shutdown(**_: object) -> None:
    if _pulse is not None:
        _pulse.end()


def keep_our_logging(**_: object) -> None:
    """Leave logging as Django's settings have it."""


signals.worker_init.connect(on_worker_init)
signals.worker_ready.connect(on_worker_ready)
signals.worker_shutdown.connect(on_worker_shutdown)
signals.setup_logging.connect(keep_our_logging)
