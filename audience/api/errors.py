"""What the API answers when it does not do what was asked: JSON with `code` and `message`, for every status.

Nothing of an exception reaches the caller but a reference number, which the log has, too.
"""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as ModelError
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.fields import get_error_detail
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from audience.identity import ProfileGone

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Kind:
    """One way to refuse: its code, its status, its sentence, and the headers it brings."""

    code: str
    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


INVALID = Kind("invalid", 400, "What was sent cannot be taken. “fields” says why.")
MALFORMED = Kind("malformed", 400, "The body is not valid JSON.")
UNAUTHENTICATED = Kind(
    "unauthenticated",
    401,
    "Send “Authorization: Bearer TOKEN” with a token that is neither expired nor revoked.",
    {"WWW-Authenticate": "Bearer"},
)
FORBIDDEN = Kind("forbidden", 403, "The token may not do this.")
NOT_FOUND = Kind("not_found", 404, "There is nothing here. It may have been deleted.")
METHOD_NOT_ALLOWED = Kind("method_not_allowed", 405, "This address does not take this method.")
CONFLICT = Kind("conflict", 409, "Somebody else changed this at the same time. Read it again.")
LENGTH_REQUIRED = Kind("length_required", 411, "Send the body with a Content-Length, not in chunks.")
PAYLOAD_TOO_LARGE = Kind("payload_too_large", 413, "The body is too large. Send fewer items in a call.")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported_media_type", 415, "Send the body as application/json.")
RATE_LIMITED = Kind("rate_limited", 429, "The token has used up its calls of this minute.")
INTERNAL = Kind("internal", 500, "Something went wrong on our side.")
UNAVAILABLE = Kind("unavailable", 503, "The database does not answer. Try again.", {"Retry-After": "5"})

KINDS = (
    INVALID,
    MALFORMED,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    CONFLICT,
    LENGTH_REQUIRED,
    PAYLOAD_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    RATE_LIMITED,
    INTERNAL,
    UNAVAILABLE,
)


class Refused(exceptions.APIException):
    """What was asked for cannot be done as things stand: 409, with a code of its own and a sentence."""

    status_code = status.HTTP_409_CONFLICT

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code)


class Explained(exceptions.ValidationError):
    """What was sent cannot be taken, and there is more to tell of it than sentences: `more` is part of the body."""

    def __init__(self, detail: Mapping[str, list[str]], more: Mapping[str, Any]) -> None:
        super().__init__(dict(detail))
        self.more = more


class LengthRequired(exceptions.APIException):
    """A body in chunks. WSGI says no length for it, and it would be read as empty."""

    status_code = status.HTTP_411_LENGTH_REQUIRED


# The first that fits counts: a table in the order from narrow to wide.
_KINDS_OF_EXCEPTIONS: tuple[tuple[type[Exception], Kind], ...] = (
    (exceptions.ValidationError, INVALID),
    (exceptions.ParseError, MALFORMED),
    (exceptions.NotAuthenticated, UNAUTHENTICATED),
    (exceptions.AuthenticationFailed, UNAUTHENTICATED),
    (exceptions.PermissionDenied, FORBIDDEN),
    (PermissionDenied, FORBIDDEN),
    (exceptions.NotFound, NOT_FOUND),
    (Http404, NOT_FOUND),
    (exceptions.MethodNotAllowed, METHOD_NOT_ALLOWED),
    (LengthRequired, LENGTH_REQUIRED),
    (exceptions.UnsupportedMediaType, UNSUPPORTED_MEDIA_TYPE),
    (exceptions.Throttled, RATE_LIMITED),
    (RequestDataTooBig, PAYLOAD_TOO_LARGE),
    (ProfileGone, CONFLICT),
    (IntegrityError, CONFLICT),
    (OperationalError, UNAVAILABLE),
    (InterfaceError, UNAVAILABLE),
)


def answer(exception: Exception, context: dict[str, Any]) -> Response:
    """Return the answer to an exception that a view raised: REST framework's EXCEPTION_HANDLER."""
    set_rollback()
    if isinstance(exception, ModelError):  # a work function has refused what it was given
        exception = exceptions.ValidationError(get_error_detail(exception))
    if isinstance(exception, Refused):
        code = exception.get_codes()
        return Response({"code": code, "message": str(exception.detail)}, exception.status_code)
    kind = kind_of(exception)
    body: dict[str, Any] = {"code": kind.code, "message": kind.message}
    if isinstance(exception, exceptions.ValidationError):
        body |= _validation(exception) | (dict(exception.more) if isinstance(exception, Explained) else {})
    elif kind is FORBIDDEN and isinstance(exception, exceptions.PermissionDenied):
        body["message"] = str(exception.detail)
    if kind.status >= 500:
        body |= _reference(exception, kind)
    return Response(body, kind.status, headers={**kind.headers, **_headers(exception)})


def kind_of(exception: Exception) -> Kind:
    """Return the way to refuse that an exception stands for; what nobody foresaw is internal."""
    return next((kind for of, kind in _KINDS_OF_EXCEPTIONS if isinstance(exception, of)), INTERNAL)


def _reference(exception: Exception, kind: Kind) -> dict[str, str]:
    reference = secrets.token_hex(6)
    log.error("the API failed", reference=reference, exc_info=exception)
    return {"message": f"{kind.message} Reference {reference}.", "reference": reference}


def _headers(exception: Exception) -> dict[str, str]:
    wait = getattr(exception, "wait", None)
    return {} if wait is None else {"Retry-After": str(int(wait))}


def _validation(exception: exceptions.ValidationError) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    for path, sentence in _flattened(exception.detail, ""):
        fields.setdefault(path or "body", []).append(sentence)
    path, sentences = next(iter(fields.items()))
    more = f" And {len(fields) - 1} more." if len(fields) > 1 else ""
    return {"message": f"{path}: {sentences[0]}{more}", "fields": fields}


def _flattened(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield (path, sentence) of nested errors; a path reads `actions.0.segment`."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            is_whole = key in (NON_FIELD_ERRORS, api_settings.NON_FIELD_ERRORS_KEY)
            yield from _flattened(value, path if is_whole else f"{path}.{key}".lstrip("."))
    elif isinstance(detail, list) and any(isinstance(one, (dict, list)) for one in detail):
        for index, value in enumerate(detail):
            yield from _flattened(value, f"{path}.{index}".lstrip("."))
    elif isinstance(detail, list):
        yield from ((path, str(one)) for one in detail)
    else:
        yield path, str(detail)
