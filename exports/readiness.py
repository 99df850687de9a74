"""When a destination may take runs: these very settings have passed a test, and nobody has paused it.

A change of address, user, folder, secret or host key leads back to `draft`, unless the new settings were tested just
before on the form.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta

from django.utils import timezone

from exports import vault
from exports.destinations import host_keys
from exports.destinations.connection_test import StepResult, is_passed, run_test
from exports.destinations.opening import Settings, settings_of
from exports.models import ConnectionTest, Destination
from exports.reasons import DeliveryError, Refused
from exports.working import pause

# A test of an unsaved form counts for the form that is saved within this time.
COUNTS_FOR = timedelta(hours=1)
BY_A_PERSON = "person"
State = Destination.State


def try_settings(settings: Settings, *, tested_by: str) -> Iterator[StepResult]:
    """Test settings that need not be saved, yield each step as it ends, and keep the result."""
    results = []
    for result in run_test(settings):
        results.append(result)
        yield result
    record_test(settings, results, tested_by=tested_by)


def try_destination(destination: Destination, *, tested_by: str) -> Iterator[StepResult]:
    """Test a saved destination, yield each step as it ends; passed, it is ready.

    Raises `DeliveryError` where its secrets cannot be opened.
    """
    settings, results = settings_of(destination), []
    for result in run_test(settings):
        results.append(result)
        yield result
    record_test(settings, results, tested_by=tested_by, destination=destination)


def record_test(
    settings: Settings, results: Sequence[StepResult], *, tested_by: str, destination: Destination | None = None
) -> bool:
    """Keep the result of a test of settings that need not be saved; return whether it was passed.

    A saved destination with these very settings is ready then. A failed test takes nothing away: what it failed of
    may be over by the next run.
    """
    steps = [asdict(result) for result in results]
    digest = _digest(settings)
    test = ConnectionTest.objects.create(
        settings_digest=digest, is_passed=is_passed(results), steps=steps, tested_by=tested_by
    )
    if destination is not None and _digest_of(destination) == digest:
        if test.is_passed:
            take_over_test(destination)
        else:
            destination.test_steps, destination.tested_at = steps, test.tested_at
            destination.save(update_fields=["test_steps", "tested_at"])
    return test.is_passed


def take_over_test(destination: Destination) -> None:
    """Set the state by the last test of exactly these settings, which may have been made before they were saved."""
    digest = _digest_of(destination)
    recent = ConnectionTest.objects.filter(settings_digest=digest, tested_at__gt=timezone.now() - COUNTS_FOR)
    test = recent.order_by("-tested_at").first()
    is_ready = test is not None and test.is_passed and _has_trust(destination)
    destination.state = State.READY if is_ready else State.DRAFT
    destination.paused_reason, destination.paused_at = "", None
    destination.test_steps = test.steps if test else []
    destination.tested_at = test.tested_at if test else None
    destination.save(update_fields=["state", "paused_reason", "paused_at", "test_steps", "tested_at"])


def enable(destination: Destination) -> None:
    """Switch a destination on again that a person has paused; raises `Refused` with the next step otherwise."""
    if not _has_trust(destination):
        raise Refused(
            "No host key is confirmed for this server. Fetch the key, compare its fingerprint with the receiver, "
            "confirm it, and test the connection."
        )
    if destination.state == State.PAUSED and destination.paused_reason == BY_A_PERSON:
        destination.state, destination.paused_reason, destination.paused_at = State.READY, "", None
        destination.save(update_fields=["state", "paused_reason", "paused_at"])
    elif destination.state != State.READY:
        raise Refused("Test the connection: a destination is ready once every step has passed.")


def pause_by_person(destination: Destination) -> None:
    """Pause a destination; runs that are due are skipped, and caught up when it is ready again."""
    if destination.state == State.DRAFT:
        raise Refused("This destination is not in use yet.")
    pause(destination, BY_A_PERSON)
    destination.refresh_from_db()


def _has_trust(destination: Destination) -> bool:
    return destination.kind != Destination.Kind.SFTP or bool(host_keys.pinned_keys(destination))


def _digest_of(destination: Destination) -> str:
    try:
        return _digest(settings_of(destination))
    except DeliveryError:
        return ""


def _digest(settings: Settings) -> str:
    text = {**asdict(settings), "confirmed_on": ""}
    text["trusted_keys"] = sorted(text.get("trusted_keys", ()))
    return vault.keyed_digest(json.dumps([type(settings).__name__, text], sort_keys=True))
