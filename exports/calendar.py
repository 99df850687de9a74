"""Which runs are due: rows inserted by the tick, and what becomes of the times that were missed.

Law: a due time gives one run at most (unique on export and due time); `next_due_at` moves on in the same transaction.
"""

from datetime import datetime, timedelta
from itertools import takewhile

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audience.tenancy import acting_for
from exports import timetable
from exports.dispatch import announce
from exports.lease import is_free
from exports.models import ConnectionTest, Destination, Export, Run
from exports.reasons import Refused
from exports.runs import run_again
from exports.timetable import Schedule
from exports.working import is_workable

# A due time that the tick finds later than this was missed: nobody was there to start it.
LATE_AFTER = timedelta(minutes=5)
CAUGHT_UP_FOR = timedelta(days=7)
MOST_CAUGHT_UP = 31
TESTS_KEPT_FOR = timedelta(days=1)
Catch, State, Cause = Export.CatchUp, Run.State, Run.Cause


def schedule_of(export: Export) -> Schedule:
    """Return the timetable of an export."""
    return Schedule(
        kind=export.schedule,
        zone=export.zone,
        once_at=export.once_at,
        at_time=export.at_time,
        minute=export.minute,
        weekday=export.weekday,
        cron=export.cron,
    )


def plan(export: Export, *, now: datetime | None = None) -> None:
    """Set an export's next due time from its timetable; the caller saves it. To be called after every edit."""
    export.next_due_at = timetable.next_due(schedule_of(export), now or timezone.now())


def tick(now: datetime | None = None) -> None:
    """Insert the runs that are due and tell the workers of every run that nobody works on."""
    now = now or timezone.now()
    for export in Export.all_advertisers.filter(is_active=True, next_due_at__lte=now):
        with acting_for(export.advertiser_id):
            _insert_due(export.pk, now)
    for run in _owed(now):
        with acting_for(run.advertiser_id):
            _catch_up_after_pause(run)
    announce_idle()
    ConnectionTest.all_advertisers.filter(tested_at__lt=now - TESTS_KEPT_FOR).delete()


def announce_idle() -> None:
    """Tell the workers of every run that nobody works on."""
    idle = Run.all_advertisers.filter(is_workable() & is_free())
    announce(idle.order_by("due_at").values_list("pk", flat=True))


def _insert_due(export_id: int, now: datetime) -> None:
    with transaction.atomic():
        export = Export.objects.select_for_update(of=("self",), skip_locked=True).filter(pk=export_id).first()
        if export is None or export.next_due_at is None or export.next_due_at > now:
            return  # another tick has it
        if export.catch_up == Catch.EACH:
            _insert_one_of_each(export, now)
        else:
            _insert_latest(export, now)
        export.save(update_fields=["next_due_at"])


def _insert_latest(export: Export, now: datetime) -> None:
    """Run the latest due time; those before it, and with `none` a late one too, are recorded as missed."""
    due = _due_times(export, now)
    for missed in due[:-1]:
        _skip(export, missed, "missed")
    if due and (now - due[-1] <= LATE_AFTER or export.catch_up == Catch.ONE):
        _begin(export, due[-1])
    elif due:
        _skip(export, due[-1], "missed")
    plan(export, now=now)


def _insert_one_of_each(export: Export, now: datetime) -> None:
    """Run the oldest due time; the others wait until it has ended."""
    due = _due_times(export, now)[-MOST_CAUGHT_UP:]
    if not due:
        plan(export, now=now)
        return
    if now - due[0] > LATE_AFTER and _has_open_run(export):
        export.next_due_at = due[0]
        return
    _begin(export, due[0])
    plan(export, now=due[0])


def _due_times(export: Export, now: datetime) -> list[datetime]:
    """Return the due times up to now, oldest first; what is older than seven days is not caught up."""
    first = export.next_due_at
    if first is None:
        return []
    oldest = max(first, now - CAUGHT_UP_FOR)
    start = [first] if first == oldest else []
    return start + list(takewhile(lambda due: due <= now, timetable.upcoming(schedule_of(export), oldest)))


def _begin(export: Export, due_at: datetime) -> None:
    """Insert the run of a due time, or the record of why there is none."""
    if export.destination.state != Destination.State.READY:
        _skip(export, due_at, "destination_paused")
    elif _has_open_run(export):
        _skip(export, due_at, "overlap")
    else:
        announce(run.pk for run in [_insert(export, due_at, State.QUEUED)])


def _skip(export: Export, due_at: datetime, reason: str) -> None:
    _insert(export, due_at, State.SKIPPED, reason=reason, ended_at=timezone.now())


def _insert(export: Export, due_at: datetime, state: Run.State, **fields: object) -> Run:
    run, _ = Run.objects.get_or_create(
        export=export,
        due_at=due_at,
        cause=Cause.TIMETABLE,
        retry_of=None,
        defaults={"destination": export.destination, "state": state, "started_by": "timetable", **fields},
    )
    return run


def _has_open_run(export: Export) -> bool:
    return Run.objects.filter(export=export, state__in=Run.OPEN).exists()


def _owed(now: datetime) -> list[Run]:
    """Return the runs that were skipped at a paused destination which is ready again, one for each export."""
    skipped: QuerySet[Run] = Run.all_advertisers.filter(
        Q(export__catch_up=Catch.ONE) | Q(export__catch_up=Catch.EACH),
        cause=Cause.TIMETABLE,
        state=State.SKIPPED,
        reason="destination_paused",
        due_at__gte=now - CAUGHT_UP_FOR,
        retries=None,
        export__is_active=True,
        destination__state=Destination.State.READY,
    ).select_related("export", "destination")
    owed: dict[int, Run] = {}
    for run in skipped.order_by("due_at"):
        if run.export.catch_up == Catch.EACH:
            owed.setdefault(run.export_id, run)
        else:
            owed[run.export_id] = run
    return list(owed.values())


def _catch_up_after_pause(run: Run) -> None:
    later = Run.objects.filter(export=run.export_id, due_at__gt=run.due_at)
    if run.export.catch_up == Catch.ONE and later.exclude(state=State.SKIPPED).exists():
        return
    if _has_open_run(run.export):
        return
    try:
        run_again(run, started_by="timetable", cause=Cause.TIMETABLE)
    except Refused:
        return
