"""Fetch key and Test connection: answers to the script of a destination's form, saved or not."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, cast

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse, StreamingHttpResponse

from audience.admin.base import taken_seat
from audience.tenancy import acting_for
from exports.addresses import is_host
from exports.admin import showing
from exports.destinations import host_keys
from exports.destinations.connection_test import StepResult, steps_of
from exports.destinations.opening import Settings, settings_of
from exports.models import Destination
from exports.readiness import BY_A_PERSON, take_over_test, try_settings
from exports.reasons import DeliveryError

log = structlog.get_logger(__name__)
_LONGEST_HOST = 253
SAVE_FIRST = "Save first: the key pair is made then, and the receiver must install its public half before a test."


def fetch_key(page_admin: Any, request: HttpRequest, row: Destination | None) -> HttpResponse:
    """Show the key that a server shows now, and whether it is a confirmed one; nobody logs in."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    host, port = request.POST.get("host", "").strip(), request.POST.get("port", "").strip() or "22"
    if len(host) > _LONGEST_HOST or not is_host(host) or not (port.isdecimal() and len(port) < 6):
        return JsonResponse({"error": "Write host and port first."})
    try:
        key = host_keys.fetch_key(host, int(port))
    except DeliveryError as error:
        return JsonResponse({"error": str(error)})
    log.info("host key fetched", destination=row.pk if row else None, user=request.user.pk)
    if row is not None:
        page_admin.log_change(request, row, f"Fetched the key of {host}: {key.fingerprint}")
    pinned = host_keys.pinned_keys(row) if row else []
    return JsonResponse(
        {
            "type": key.key_type,
            "bits": key.bits,
            "fingerprint": key.fingerprint,
            "signed": key.signed,
            "is_confirmed": any(one.public_key == key.public_key for one in pinned),
            "confirmed": [
                {"fingerprint": one.fingerprint, "by": one.confirmed_by, "on": f"{one.confirmed_at:%-d %B %Y}"}
                for one in pinned
            ],
        }
    )


def test_connection(page_admin: Any, request: HttpRequest, row: Destination | None) -> HttpResponse:
    """Answer each step of a test as it ends, a line of JSON each; first of all which steps there are."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    form = page_admin.get_form(request, row, change=row is not None)(request.POST, instance=row)
    if not form.is_valid():
        return JsonResponse({"errors": _errors(form)})
    if form.cleaned_data.get("makes_key"):
        return JsonResponse({"errors": [SAVE_FIRST]})
    try:
        settings = form.settings()
    except DeliveryError as error:
        return JsonResponse({"errors": [str(error)]})
    saved = Destination.objects.get(pk=row.pk) if row else None
    return stream(_steps(settings, saved, request), taken_seat(request).advertiser.pk)


def test_saved(page_admin: Any, request: HttpRequest, row: Destination) -> HttpResponse:
    """Test a destination as it is saved; passed, it is ready."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        settings = settings_of(row)
    except DeliveryError as error:
        return JsonResponse({"errors": [str(error)]})
    return stream(_steps(settings, row, request), taken_seat(request).advertiser.pk)


def _errors(form: Any) -> list[str]:
    named = [
        f"{form.fields[name].label or name}: {problem}" if name in form.fields else problem
        for name, problems in form.errors.items()
        for problem in problems
    ]
    return list(dict.fromkeys(named))


def _steps(settings: Settings, saved: Destination | None, request: HttpRequest) -> Iterator[dict[str, Any]]:
    """Yield the lines of a test. One of the very settings that are saved counts for the saved destination."""
    yield {"steps": len(steps_of(settings))}
    results: list[StepResult] = []
    for result in try_settings(settings, tested_by=showing.person_at(request)):
        results.append(result)
        yield asdict(result)
    is_passed = all(one.outcome in ("ok", "warning") for one in results)
    state = ""
    if saved is not None and _is_of(settings, saved):
        is_paused_by_person = saved.state == Destination.State.PAUSED and saved.paused_reason == BY_A_PERSON
        if not is_paused_by_person:
            take_over_test(saved)
        state = saved.state
    yield {"is_passed": is_passed, "state": state}


def _is_of(settings: Settings, saved: Destination) -> bool:
    try:
        return settings == settings_of(saved)
    except DeliveryError:
        return False


def stream(lines: Iterator[dict[str, Any]], advertiser_id: int) -> HttpResponse:
    """Answer with a line of JSON at a time; the work goes on after the view has returned."""

    def acting() -> Iterator[bytes]:
        with acting_for(advertiser_id):
            for line in lines:
                yield json.dumps(line).encode() + b"\n"

    answer = StreamingHttpResponse(acting(), content_type="application/x-ndjson")
    answer["X-Accel-Buffering"] = "no"  # nginx would hold the steps back until the last one
    return cast("HttpResponse", answer)
