"""Why a run ended as it did: code, the sentence a marketer reads, and whether Muster tries again.

One row per reason feeds the run's record, the admin, the API, the retries and their tests. Facts of the run
(`host`, `user`, `name`, …) fill the sentence; one that is not known is replaced by a plain word.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Facts = Mapping[str, str | int]

# After a failure that may pass, seconds until the next try; tried at once, then five times more.
WAITS_SECONDS = (30, 120, 600, 1800, 7200)
SPREAD = 0.2


@dataclass(frozen=True)
class Reason:
    """One row of the table below."""

    code: str
    sentence: str
    is_tried_again: bool = False
    pauses_destination: bool = False
    # The place in WAITS_SECONDS from which the waiting begins: a full disk is not emptied within 30 seconds.
    first_wait: int = 0


_PLAIN_WORDS = {
    "host": "the server",
    "user": "the user",
    "folder": "the folder",
    "name": "the file",
    "date": "an earlier day",
    "at": "a little later",
    "sent_mb": "some",
    "total_mb": "all",
    "missing_mb": "some",
    "members": "too few",
    "minimum": "larger",
    "segment": "a segment",
}

REASONS: tuple[Reason, ...] = (
    Reason(
        "name_unknown",
        "{host} was not found. Check the spelling, or ask the receiver whether the name is right.",
        is_tried_again=True,
    ),
    Reason(
        "no_route",
        "{host} did not answer as an SFTP server. Check host and port, or ask the receiver whether our address "
        "must be let through.",
        is_tried_again=True,
    ),
    Reason("address_refused", "{host} leads to an internal address. Ask your administrator to allow it."),
    Reason("port_refused", "This port is not allowed for deliveries. Ask your administrator to allow it."),
    Reason(
        "host_key_missing",
        "No host key is confirmed for {host}. Nothing was sent. Fetch the key, compare its fingerprint with the "
        "receiver and confirm it.",
        pauses_destination=True,
    ),
    Reason(
        "host_key_changed",
        "The server showed another key than the one confirmed on {date}. Nothing was sent. Ask the receiver; "
        "confirm the new fingerprint only if they announced it.",
        pauses_destination=True,
    ),
    Reason(
        "login_refused",
        "The server refused {user}. Enter the password or key again. The destination is paused so that the account "
        "is not locked.",
        pauses_destination=True,
    ),
    Reason("folder_missing", "{folder} does not exist. Ask the receiver for the folder and its rights."),
    Reason("not_allowed", "{user} may not write in {folder}. Ask the receiver for the folder and its rights."),
    Reason("rename_refused", "{user} may not rename in {folder}. Ask the receiver for the right to rename files."),
    Reason(
        "disk_full",
        "The server has no space left ({missing_mb} MB missing). Ask the receiver to make room; we try again.",
        is_tried_again=True,
        first_wait=2,
    ),
    Reason(
        "connection_lost",
        "The connection broke after {sent_mb} of {total_mb} MB. Nothing was published. Next try at {at}, from there.",
        is_tried_again=True,
    ),
    Reason(
        "stalled",
        "The server took no more after {sent_mb} of {total_mb} MB. Nothing was published. Next try at {at}.",
        is_tried_again=True,
    ),
    Reason("server_busy", "The server is busy and refused. Next try at {at}.", is_tried_again=True),
    Reason(
        "short_file",
        "{name} had another size at the receiver than here. It was not published. Next try at {at}.",
        is_tried_again=True,
    ),
    Reason("name_taken", "{name} exists and Muster did not write it. It was left alone. Change the file name."),
    Reason("local_disk_full", "Our own server lacks space. Ask your administrator to make room."),
    Reason("secret_unreadable", "The stored password or key cannot be opened. Enter it again at the destination."),
    Reason("key_unreadable", "The private key cannot be opened with this passphrase. Enter both again."),
    Reason("format_missing", "A library for this format is missing on our server. Ask your administrator."),
    Reason("too_small", "Only {members} people, the minimum is {minimum}. Nothing was sent. The export goes on."),
    Reason("empty", "Nobody is in the segment, and the export says to send nothing then. The export goes on."),
    Reason("overlap", "The run before was still going on. The export goes on at its next time."),
    Reason("missed", "Muster was not running at this time. A later run sends what is due."),
    Reason("destination_paused", "The destination is not ready, so nothing was sent. Test it or switch it on again."),
    Reason("segment_gone", "{segment} was deleted. Choose another segment for this export."),
    Reason("worker_lost", "The run was started again and again and never came to an end. Tell your administrator."),
    Reason("internal_error", "Something went wrong on our side. Tell your administrator; the log has the details."),
    Reason("not_sent", "The files were written and kept here. Sending was not asked for."),
    Reason("cancelled", "The run was cancelled."),
)

BY_CODE = {reason.code: reason for reason in REASONS}


class DeliveryError(Exception):
    """A run cannot go on: a reason of the table, and the facts that fill its sentence. Never holds a secret."""

    def __init__(self, code: str, **facts: str | int) -> None:
        self.reason = BY_CODE[code]
        self.facts = facts
        super().__init__(sentence(code, facts))


class Refused(Exception):
    """What a person asked for cannot be done; the message says why and what to do next."""


def sentence(code: str, facts: Facts) -> str:
    """Return what a marketer reads for a reason; an unknown code (an older one) is shown as it is."""
    reason = BY_CODE.get(code)
    if reason is None:
        return code
    text = reason.sentence.format_map({**_PLAIN_WORDS, **facts})
    begins_with_plain_word = any(
        reason.sentence.startswith(f"{{{name}}}") for name in _PLAIN_WORDS if name not in facts
    )
    return text[0].upper() + text[1:] if begins_with_plain_word else text


def wait_seconds(reason: Reason, failed_tries: int) -> int | None:
    """Return how long to wait after so many failed tries, before spreading; None when no try is left."""
    place = failed_tries - 1 + reason.first_wait
    if not reason.is_tried_again or place >= len(WAITS_SECONDS):
        return None
    return WAITS_SECONDS[place]
