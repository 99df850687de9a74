"""What the door says back, byte for byte (pixels.md 1.2). Nothing from a request ever enters a body."""

from typing import NamedTuple

GIF = bytes.fromhex("4749463839610100010080000000000000000021f90401000000002c00000000010001000002024401003b")
SCRIPT = b"/* muster */\n"

Header = tuple[str, str]

# Lower case, as HTTP/2 has them; names are the same in any case.
COMMON_HEADERS: list[Header] = [
    ("cache-control", "no-store, private"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "cross-origin"),
]
_IMAGE_HEADERS = [("content-type", "image/gif"), *COMMON_HEADERS]
_SCRIPT_HEADERS = [("content-type", "application/javascript; charset=utf-8"), *COMMON_HEADERS]


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: list[Header]
    body: bytes


def fire_answer(fire_id: bytes, *, is_script: bool, set_cookie: str | None) -> Answer:
    """Return the answer of a fire: the same whatever became of it."""
    common = _SCRIPT_HEADERS if is_script else _IMAGE_HEADERS
    headers = [*common, ("muster-fire", crockford(fire_id))]
    if set_cookie is not None:
        headers.append(("set-cookie", set_cookie))
    return Answer(200, headers, SCRIPT if is_script else GIF)


def redirected(answer: Answer, location: str) -> Answer:
    """Return a fire's answer as one that sends the browser on; `location` has passed `pixels.redirects`."""
    headers = [header for header in answer.headers if header[0] != "content-type"]
    return Answer(302, [*headers, ("location", location), ("referrer-policy", "strict-origin")], b"")


def plain_answer(*, is_script: bool) -> Answer:
    """Return the answer of a request that is no fire, such as HEAD."""
    return Answer(200, _SCRIPT_HEADERS if is_script else _IMAGE_HEADERS, SCRIPT if is_script else GIF)


def busy_answer(fire_id: bytes) -> Answer:
    """Return the answer of a fire that is not stored. It is an image whatever was asked for."""
    headers = [*_IMAGE_HEADERS, ("muster-fire", crockford(fire_id)), ("retry-after", "5")]
    return Answer(503, headers, GIF)


def not_ready_answer() -> Answer:
    """Return the answer where nothing is known yet of advertisers and pixels."""
    return Answer(503, [*_IMAGE_HEADERS, ("retry-after", "5")], GIF)


def check_answer(location: str, set_cookie: str) -> Answer:
    """Return the cookie check's redirect of a request to itself, which is no fire yet.

    No Referrer-Policy here: the second request is to tell the page as the first one did.
    """
    return Answer(302, [*COMMON_HEADERS, ("location", location), ("set-cookie", set_cookie)], b"")


def text_answer(status: int, text: str, *headers: Header) -> Answer:
    return Answer(status, [("content-type", "text/plain; charset=utf-8"), *COMMON_HEADERS, *headers], text.encode())


NOT_FOUND = text_answer(404, "There is nothing here.\n")
NOT_ALLOWED = text_answer(405, "Only GET and HEAD.\n", ("allow", "GET, HEAD"))
LINE_TOO_LONG = text_answer(414, "The address is too long.\n")


_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_LOW = (1 << 60) - 1


def crockford(fire_id: bytes) -> str:
    """Return a UUID's 16 bytes as 26 digits of Crockford's base 32, which sort as the UUIDs do."""
    value, of = int.from_bytes(fire_id), _PAIRS
    high, low = value >> 60, value & _LOW  # to shift numbers of one word each is twice as fast
    # fmt: off
    return "".join((
        of[high >> 60], of[high >> 50 & 1023], of[high >> 40 & 1023], of[high >> 30 & 1023], of[high >> 20 & 1023],
        of[high >> 10 & 1023], of[high & 1023], of[low >> 50], of[low >> 40 & 1023], of[low >> 30 & 1023],
        of[low >> 20 & 1023], of[low >> 10 & 1023], of[low & 1023],
    ))
    # fmt: on


_VALUE_OF_DIGIT = {digit: value for value, digit in enumerate(_DIGITS)}


def read_crockford(text: str) -> bytes | None:
    """Return the 16 bytes that `crockford` wrote so; None for anything else."""
    if len(text) != 26 or not _VALUE_OF_DIGIT.keys() >= set(text) or text[0] > "7":
        return None
    value = 0
    for digit in text:
        value = value << 5 | _VALUE_OF_DIGIT[digit]
    return value.to_bytes(16)
