"""Why the HTTP API refuses a request or a message: closed lists (pixels.md 4.4), each code with its sentence.

A test compares them with the documentation.
"""

from django.db.models import TextChoices


class RequestError(TextChoices):
    """What is wrong with a request as a whole: nothing of it is kept."""

    INVALID_JSON = "invalid_json", "The body is no JSON object. NaN and Infinity are no JSON."
    PAYLOAD_TOO_LARGE = (
        "payload_too_large",
        "The body is larger than 500 kB unpacked, or holds more than 2,500 events or 1,000 fires.",
    )
    EMPTY_BATCH = "empty_batch", "The batch holds no messages, or no fires."
    MISSING_WRITE_KEY = "missing_write_key", "No write key came, neither by Basic auth nor as writeKey."
    UNKNOWN_WRITE_KEY = "unknown_write_key", "This write key is not known or has been switched off."
    WRITE_KEY_CONFLICT = "write_key_conflict", "Basic auth and writeKey name two different write keys."
    ORIGIN_NOT_ALLOWED = "origin_not_allowed", "This page's origin is not in the advertiser's list."
    SERVER_KEY_NEEDED = "server_key_needed", "This call needs a server key."
    METHOD_NOT_ALLOWED = "method_not_allowed", "This address takes another method."
    RATE_LIMITED = "rate_limited", "Too many requests in a minute. Try again later."
    BUSY = "busy", "The message could not be kept. Send it again."


STATUS = {
    RequestError.INVALID_JSON: 400,
    RequestError.PAYLOAD_TOO_LARGE: 400,
    RequestError.EMPTY_BATCH: 400,
    RequestError.MISSING_WRITE_KEY: 401,
    RequestError.UNKNOWN_WRITE_KEY: 401,
    RequestError.WRITE_KEY_CONFLICT: 401,
    RequestError.ORIGIN_NOT_ALLOWED: 403,
    RequestError.SERVER_KEY_NEEDED: 403,
    RequestError.METHOD_NOT_ALLOWED: 405,
    RequestError.RATE_LIMITED: 429,
    RequestError.BUSY: 503,
}


class MessageError(TextChoices):
    """What is wrong with one message: it is not kept, its neighbours are."""

    NO_ID = "no_id", "A message needs a userId or an anonymousId (a group call also a groupId), a fire an identifier."
    NO_EVENT_NAME = "no_event_name", "A track call needs an event name."
    BAD_TYPE = "bad_type", "The type of the message is not known, or a field of it is not of its type."
    BAD_TIME = "bad_time", "A time is not written as 2026-11-22T10:15:00Z is."
    TOO_OLD = "too_old", "The message is older than 30 days, or than events are kept."
    TOO_LARGE = "too_large", "The message is larger than 32 kB, or a name, a text or a number in it is too large."
    TOO_DEEP = "too_deep", "Properties and traits may be nested five deep."
    TOO_MANY_PROPERTIES = "too_many_properties", "A message has at most 255 properties or traits."
    BAD_MESSAGE_ID = "bad_message_id", "messageId, and the id of a fire, is a text of up to 100 characters."
    UNPROVEN_USER = "unproven_user", "A public key cannot speak for a userId alone. Send anonymousId or userHash too."
    BAD_HASH = "bad_hash", "userHash or groupHash does not fit. Nothing was stored."
    NEEDS_SERVER_KEY = "needs_server_key", "This call needs a server key."


class Refused(Exception):
    """A request that is refused as a whole."""

    def __init__(self, error: RequestError) -> None:
        super().__init__(error.label)
        self.error = error


class Bad(Exception):
    """A message that is refused."""

    def __init__(self, error: MessageError) -> None:
        super().__init__(error.label)
        self.error = error
