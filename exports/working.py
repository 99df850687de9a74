"""A worker's part: take a run, write and send it, and record how it ended.

Law: the row says what is to be done next. Each change of state is one conditional update under the claim; the end of
a run and what follows from it are one transaction. Work that was interrupted is taken up by whoever comes next, once
the lease is over.
"""

import random
from datetime import timedelta
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Case, CharField, Exists, F, IntegerField, OuterRef, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from audience import metrics
from audience.crash import crash_point
from audience.tenancy import acting_for
from exports.destinations.opening import connect, settings_of
from exports.dispatch import announce
from exports.lease import CancelAsked, ClaimLost, GivenBack, Lease, is_free, take, worker_name
from exports.models import Destination, Run, RunFile, RunTry
from exports.reasons import SPREAD, DeliveryError, Facts, wait_seconds
from exports.sending import Delivery, are_kept, files_of
from exports.writing import Skipped, write_files

MOST_TIMES_LOST = 10
State = Run.State

log = structlog.get_logger(__name__)


def work_on(run_id: int) -> None:
    """Do what a run needs next, up to its end or its next waiting; nothing where others have it."""
    lease = take(run_id, is_workable(), state=_next_state(), times_lost=_count_lost())
    if lease is None:
        return
    run = Run.all_advertisers.get(pk=run_id)
    with acting_for(run.advertiser_id):
        try:
            with lease:
                crash_point("export.claimed")
                _work_to_an_end(run, lease)
        except GivenBack:
            lease.give_back()  # `exports.tasks` announces it when this worker hears nothing any more
        except ClaimLost:
            log.warning("A run was taken over by another worker", run=run_id, claim=lease.claim)
        announce(_waiting_for_place(run))


def is_workable() -> Q:
    """Return the filter for runs on which something can be done now, whoever holds them.

    It compares columns of the run alone and joins nothing: in an UPDATE that waited for another one PostgreSQL checks
    these again on the new row, and no subquery.
    """
    destinations = Destination.all_advertisers.filter(pk=OuterRef("destination_id"))
    is_ready = Exists(destinations.filter(state=Destination.State.READY))
    is_to_be_written = Q(state__in=(State.QUEUED, State.WRITING))
    is_to_be_sent = Q(state__in=(State.WRITTEN, State.SENDING)) | Q(state=State.WAITING, next_try_at__lte=Now())
    is_to_be_cancelled = Q(cancel_asked_at__isnull=False, visible_at=None)
    return Q(state__in=Run.OPEN) & (is_to_be_written | (is_to_be_sent & is_ready) | is_to_be_cancelled)


def _work(run: Run, lease: Lease) -> None:
    if run.times_lost > MOST_TIMES_LOST:
        raise DeliveryError("worker_lost")
    lease.check()
    if run.state == State.WRITING:
        write_files(run, lease)
        run.refresh_from_db()
    if not run.is_to_be_sent:
        raise Skipped("not_sent")
    if not are_kept(files_of(run)):
        # Written on another machine, or cleared away: written anew, by whoever comes first.
        lease.write(state=State.QUEUED, lease_ends_at=None)
        announce([run.pk])
    elif _take_place(run, lease):
        _send(run, lease)
        _end(run, lease, State.DELIVERED)


def _work_to_an_end(run: Run, lease: Lease) -> None:
    """Turn what stops a run into its recorded state."""
    try:
        _work(run, lease)
    except CancelAsked as asked:
        _cancel(run, lease, asked.left)
    except Skipped as skipped:
        _end(run, lease, State.SKIPPED, skipped.code, skipped.facts)
    except DeliveryError as error:
        _fail_or_wait(run, lease, error)
    except (ClaimLost, OperationalError, InterfaceError):
        raise  # with the database away the lease ends by itself, and the run is taken up again
    except Exception:
        log.exception("A run broke off", run=run.pk)
        _end(run, lease, State.FAILED, "internal_error")


def _take_place(run: Run, lease: Lease) -> bool:
    """Begin to send, if the destination is ready and has a connection to spare; else leave the run for later."""
    with transaction.atomic():
        destination = Destination.objects.select_for_update().get(pk=run.destination_id)
        sending = Run.objects.filter(destination=destination, state=State.SENDING, lease_ends_at__gt=Now())
        is_busy = sending.exclude(pk=run.pk).count() >= destination.max_connections
        if is_busy or destination.state != Destination.State.READY:
            lease.write(lease_ends_at=None)
            return False
        if run.state != State.SENDING:
            run.tries += 1
        lease.write(state=State.SENDING, tries=run.tries, next_try_at=None)
    run.state = State.SENDING
    return True


def _send(run: Run, lease: Lease) -> None:
    """Try once to bring the files; the try is recorded with the step at which it ended."""
    attempt = RunTry.objects.create(
        run=run, number=run.tries, claim=lease.claim, worker=worker_name(), started_at=timezone.now()
    )
    try:
        settings = settings_of(run.destination)

        def watch(step: str) -> None:
            attempt.step = step

        with connect(settings, watch) as connection:
            attempt.step = "upload"
            lease.write(host_key=connection.host_key)
            _deliver(run, lease, Delivery(run, lease, connection))
            attempt.step = ""
    except DeliveryError as error:
        attempt.reason, attempt.facts = error.reason.code, error.facts
        raise
    finally:
        attempt.ended_at, attempt.bytes_sent = timezone.now(), lease.progress.bytes_sent
        attempt.save(update_fields=["ended_at", "bytes_sent", "step", "reason", "facts"])


def _deliver(run: Run, lease: Lease, delivery: Delivery) -> None:
    try:
        delivery.deliver(is_read_back=run.destination.is_read_back)
    except CancelAsked as asked:
        asked.left = delivery.abandon()
        raise
    except DeliveryError as error:
        if wait_seconds(error.reason, run.tries) is None:
            _name_what_is_left(error, delivery.abandon())
        raise


def _fail_or_wait(run: Run, lease: Lease, error: DeliveryError) -> None:
    """Plan the next try, or end the run; a destination that must not be tried again is paused."""
    facts: dict[str, Any] = {"host": run.destination.host} if run.destination.host else {}
    facts |= {"sent_mb": lease.progress.bytes_sent // 1_000_000, "total_mb": run.bytes_packed // 1_000_000}
    facts |= error.facts
    wait = wait_seconds(error.reason, run.tries) if run.state == State.SENDING else None
    if wait is None:
        _end(run, lease, State.FAILED, error.reason.code, facts)
        return
    seconds = wait * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 -- so that not all come back at once
    facts["at"] = f"{timezone.now() + timedelta(seconds=seconds):%H:%M:%S} UTC"
    lease.write(
        state=State.WAITING,
        reason=error.reason.code,
        facts=facts,
        next_try_at=Now() + timedelta(seconds=seconds),
        lease_ends_at=None,
        **_last_progress(lease),
    )
    crash_point("export.waiting")


def _end(run: Run, lease: Lease, state: Run.State, reason: str = "", facts: Facts | None = None) -> None:
    """Record the end of a run, and what it means for the destination. Notices by mail have their place here."""
    from_reason = DeliveryError(reason).reason if reason else None
    with transaction.atomic():
        lease.write(
            state=state,
            reason=reason,
            facts=dict(facts or {}),
            ended_at=Now(),
            lease_ends_at=None,
            next_try_at=None,
            **_last_progress(lease),
        )
        if state == State.FAILED and from_reason and from_reason.pauses_destination:
            pause(run.destination, reason)
    _count_end(run, lease, state, reason)


def _count_end(run: Run, lease: Lease, state: Run.State, reason: str) -> None:
    metrics.count_run(state, reason)
    if state == State.DELIVERED and run.started_at is not None:
        seconds = (timezone.now() - run.started_at).total_seconds()
        moved = lease.progress
        metrics.count_delivery(rows=moved.rows_written, sent_bytes=moved.bytes_packed, seconds=seconds)


def pause(destination: Destination, reason: str) -> None:
    """Pause a destination, unless it is paused already: with the reason of Muster's own, or “person”."""
    ready = Destination.objects.filter(pk=destination.pk, state=Destination.State.READY)
    ready.update(state=Destination.State.PAUSED, paused_reason=reason, paused_at=Now())


def _cancel(run: Run, lease: Lease, left: list[str] | None) -> None:
    """End a cancelled run; what it had begun at the receiver is removed, or named. `left` None: not done yet."""
    if left is None:
        left = _abandon(run, lease)
    facts = {"by": run.cancel_asked_by} | ({"left": ", ".join(left)} if left else {})
    _end(run, lease, State.CANCELLED, "cancelled", facts)


def _abandon(run: Run, lease: Lease) -> list[str]:
    """Remove the `.part` files of a run that waited; a destination that is not ready is left in peace."""
    names = list(RunFile.objects.filter(run=run).exclude(part_name="").values_list("part_name", flat=True))
    if not names or run.destination.state != Destination.State.READY:
        return names
    try:
        with connect(settings_of(run.destination)) as connection:
            return Delivery(run, lease, connection).abandon()
    except DeliveryError:
        return names


def _name_what_is_left(error: DeliveryError, left: list[str]) -> None:
    if left:
        error.facts["left"] = ", ".join(left)


def _last_progress(lease: Lease) -> dict[str, Any]:
    return {**lease.progress.columns(), "progress_at": Now()}


def _waiting_for_place(run: Run) -> list[int]:
    """Return the runs of the same destination that a connection has become free for."""
    waiting = Run.objects.filter(is_free(), destination=run.destination_id, state=State.WRITTEN).exclude(pk=run.pk)
    return list(waiting.order_by("due_at").values_list("pk", flat=True)[:4])


def _next_state() -> Case:
    return Case(When(state=State.QUEUED, then=Value(State.WRITING)), default=F("state"), output_field=CharField())


def _count_lost() -> Case:
    """A lease that is there and has ended was a worker's that went silent."""
    lost = When(lease_ends_at__isnull=False, then=F("times_lost") + 1)
    return Case(lost, default=F("times_lost"), output_field=IntegerField())
