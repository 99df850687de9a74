"""Messages as records of a spool: an object by the names of their fields (`pixels.records`)."""

from typing import Any

from audience.identity import Key
from audience.messages import Message
from pixels.messages.arrivals import Arrival
from pixels.messages.errors import MessageError
from pixels.reasons import Reason

_ERRORS = {str(error): error for error in MessageError}


def values_of(arrival: Arrival) -> dict[str, Any]:
    """Return an arrival as values that JSON has."""
    values = arrival._asdict()
    message = arrival.message
    values["id"] = arrival.id.hex()
    values["message"] = None if message is None else {**message._asdict(), "id": message.id.hex()}
    return values


def arrival_of(values: dict[str, Any]) -> Arrival:
    """Return the arrival that `values_of` wrote so. Raises KeyError, TypeError or ValueError for anything else."""
    error, suppressed, told = values["error"], values["suppressed"], values["message"]
    values |= {
        "id": bytes.fromhex(values["id"]),
        "error": None if error is None else _ERRORS[error],
        "suppressed": None if suppressed is None else Reason(suppressed),
    }
    return Arrival(**{**values, "message": None if told is None else _message_of(told)})


def _message_of(values: dict[str, Any]) -> Message:
    return Message(
        **{
            **values,
            "id": bytes.fromhex(values["id"]),
            "own": _key_of(values["own"]),
            "linked": tuple(Key(*key) for key in values["linked"]),
            "proven": tuple(Key(*key) for key in values["proven"]),
            "previous": _key_of(values["previous"]),
        }
    )


def _key_of(values: list[Any] | None) -> Key | None:
    return None if values is None else Key(*values)
