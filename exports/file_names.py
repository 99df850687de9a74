"""What a file is called: a template over a closed set of fields, and names that are safe in every folder.

Promise: whatever a segment is called and whatever somebody types, a name holds only `[A-Za-z0-9._-]`, does not begin
with a dot or dash, is no device's name and has at most 200 bytes. Fields are put in by our own substitution; a
template is never given to `str.format` or a template engine.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError

DEFAULT_TEMPLATE = "{export}_{segment_code}_{date}_{time}.csv"
LONGEST_FIELD_BYTES = 100
LONGEST_NAME_BYTES = 200
PART_ENDING = ".part"

_FIELD = re.compile(r"\{([a-z_]+)(?::([^{}]*))?\}")
_LITERAL = re.compile(r"[A-Za-z0-9._-]*")
_CLOCK_TOKEN = re.compile(r"YYYY|MM|DD|HH|mm|ss")
_CLOCK_CODES = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_ENDING = re.compile(r"(?s)(.*?)((?:\.[A-Za-z][A-Za-z0-9]{0,9})?(?:\.gz)?)")
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")
# Letters that Unicode does not take apart.
_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "Æ": "AE",
        "ø": "o",
        "Ø": "O",
        "œ": "oe",
        "Œ": "OE",
        "đ": "d",
        "Đ": "D",
        "ł": "l",
        "Ł": "L",
    }
)


@dataclass(frozen=True)
class Fields:
    """What a template may speak of. `due_at` is in the export's zone, so that a late run keeps its name."""

    advertiser: str
    export: str
    run: int
    due_at: datetime
    mode: str = "full"
    segment_id: str = ""
    segment_code: str = ""
    segment: str = ""
    consent: str = ""
    part: str = ""


_VALUES: dict[str, Callable[[Fields], str]] = {
    "advertiser": lambda fields: fields.advertiser,
    "export": lambda fields: fields.export,
    "segment_id": lambda fields: fields.segment_id,
    "segment_code": lambda fields: fields.segment_code,
    "segment": lambda fields: fields.segment,
    "mode": lambda fields: fields.mode,
    "consent": lambda fields: fields.consent,
    "date": lambda fields: f"{fields.due_at:%Y-%m-%d}",
    "time": lambda fields: f"{fields.due_at:%H%M%S}",
    "unix": lambda fields: str(int(fields.due_at.timestamp())),
    "unix_ms": lambda fields: str(int(fields.due_at.timestamp() * 1000)),
    "run": lambda fields: str(fields.run),
    "part": lambda fields: fields.part,
}
DISTINCT_FIELDS = frozenset({"date", "time", "unix", "unix_ms", "run"})
SEGMENT_FIELDS = frozenset({"segment_id", "segment_code", "segment"})


def check_template(template: str) -> None:
    """Refuse a template with an unknown field, another character than `[A-Za-z0-9._-]`, or nothing in it."""
    if not template:
        raise ValidationError("Write a file name such as " + DEFAULT_TEMPLATE)
    for name, pattern in _FIELD.findall(template):
        _check_field(name, pattern)
    if not _LITERAL.fullmatch(_FIELD.sub("", template)):
        raise ValidationError("Beside fields a file name holds only letters, digits, dot, dash and underscore.")


def check_ending(ending: str) -> None:
    """Refuse a sentinel's ending that could not stand in a file name."""
    if not re.fullmatch(r"\.[A-Za-z0-9._-]{1,19}", ending) or ending.endswith(PART_ENDING):
        raise ValidationError("Write an ending such as .done")


def fields_of(template: str) -> frozenset[str]:
    """Return the names of the fields that a template speaks of."""
    return frozenset(name for name, _ in _FIELD.findall(template))


def render(template: str, fields: Fields, *, ending: str = "") -> str:
    """Return the file's name, with `ending` (such as `.gz`) unless it stands there already."""
    name, at = "", 0
    for match in _FIELD.finditer(template):
        value = fold(_value(match[1], match[2], fields))
        literal = template[at : match.start()]
        # A field that is empty takes the separator before it away: `x_{part}.csv` is `x.csv`.
        name += literal if value else literal.rstrip("_-")
        name, at = name + value, match.end()
    return _shorten(_safe(name + template[at:]), ending)


def fold(value: str) -> str:
    """Return a value as it may stand in a name: ASCII, at most 100 bytes, runs of other characters as one `_`."""
    plain = unicodedata.normalize("NFKD", value.translate(_LETTERS)).encode("ascii", "ignore").decode()
    return re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9._-]", "_", plain))[:LONGEST_FIELD_BYTES]


def numbered(name: str, number: int) -> str:
    """Return the name with `_2`, `_3` … before its ending; number 1 is the name itself."""
    if number == 1:
        return name
    stem, ending = _split_ending(name)
    return f"{stem}_{number}{ending}"


def part_name(name: str, generation: int = 1) -> str:
    """Return what a file is called while it is under way; bytes written anew never mix with earlier ones."""
    return f"{name}{PART_ENDING}" if generation == 1 else f"{name}.{generation}{PART_ENDING}"


def _check_field(name: str, pattern: str) -> None:
    if name not in _VALUES:
        raise ValidationError(
            f"There is no field {{{name}}}. There are: " + ", ".join(f"{{{one}}}" for one in _VALUES)
        )
    if pattern and (name != "date" or not _LITERAL.fullmatch(_CLOCK_TOKEN.sub("", pattern))):
        raise ValidationError("Only {date:…} takes a pattern, of YYYY MM DD HH mm ss, for example {date:YYYY-MM-DD}.")
    if pattern and not re.fullmatch(r"[^A-Za-z0-9]*", _CLOCK_TOKEN.sub("", pattern)):
        raise ValidationError("A date's pattern holds YYYY MM DD HH mm ss and signs between them, nothing else.")


def _value(name: str, pattern: str | None, fields: Fields) -> str:
    if name == "date" and pattern:
        return fields.due_at.strftime(_CLOCK_TOKEN.sub(lambda token: _CLOCK_CODES[token[0]], pattern))
    return _VALUES[name](fields)


def _safe(name: str) -> str:
    name = re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9._-]", "_", name))
    name = re.sub(r"\.{2,}", ".", name).lstrip(".-")
    if _DEVICE.match(name):
        name = "_" + name
    return name or "export"


def _shorten(name: str, ending: str) -> str:
    stem, own_ending = _split_ending(name)
    if ending and not own_ending.endswith(ending):
        own_ending += ending
    return stem[: LONGEST_NAME_BYTES - len(own_ending)].rstrip(".") + own_ending


def _split_ending(name: str) -> tuple[str, str]:
    match = _ENDING.fullmatch(name)
    return (match[1], match[2]) if match and match[1] else (name, "")
