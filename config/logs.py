"""What the log says: one JSON object a line (readable at a terminal), and no person in it.

Who writes a line gives it ids of ours and reason codes, never a text from outside. What stands here is the second
line of defence, for the texts of exceptions and of libraries.
"""

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import structlog
from structlog.typing import Processor

Event = MutableMapping[str, Any]

# What looks like a person is taken out of every text, wherever it came from.
PERSONAL = [
    (re.compile(r"[^\s\"'<>()=,;:/?&@]{1,128}(?:@|%40)[^\s\"'<>()=,;:/?&@%]{1,255}\.[A-Za-z]{2,}"), "[email]"),
    (re.compile(r"(?:\+|%2[bB])\d[\d .()-]{6,}\d"), "[phone]"),
    (re.compile(r"\b(?!127\.)(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}\b"), r"\1.0"),
]
_MAYBE_ADDRESS = re.compile(r"(?<![0-9a-zA-Z:])[0-9a-fA-F:]{2,39}(?:[0-9.]{7,15})?(?![0-9a-zA-Z:])")
# PostgreSQL quotes values: `Key (value)=(…)`, `invalid input syntax for type uuid: "…"`, `value "…" is out of range`.
DATABASE_DETAIL = re.compile(r"^[ \t]*(DETAIL|CONTEXT):.*$", re.MULTILINE)
DATABASE_VALUE = re.compile(r'\b((?:invalid|malformed|date/time)[^"\n]{0,80}: |value )"[^"\n]{0,4000}"?')
# The longest trace is shorter, and no text of anybody's choice keeps a process busy.
LONGEST_TEXT = 20_000

# Three lines for each task of the clockwork, every two seconds; what fails is an error, and stays.
CHATTY = ("celery.beat", "celery.app.trace", "celery.worker.strategy")
# They name hosts and users at INFO; or a page's whole context, statements with their values, or messages at DEBUG.
INDISCREET = ("asyncssh", "django.template", "django.db.backends", "kombu", "amqp", "pgmq")


def without_persons(text: str) -> str:
    """Return `text` with e-mail addresses, phone numbers and network addresses taken out or cut."""
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]} … {len(text) - LONGEST_TEXT} more characters"
    text = DATABASE_DETAIL.sub(r"\1: left out", text)
    text = DATABASE_VALUE.sub(r'\1"[left out]"', text)
    text = _MAYBE_ADDRESS.sub(lambda found: _shortened(found[0]), text)
    for pattern, replacement in PERSONAL:
        text = pattern.sub(replacement, text)
    return text


def _shortened(text: str) -> str:
    """Return an IPv6 address as its /48; any other text (a time, a hash) as it is."""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if not isinstance(address, IPv6Address) or address.is_loopback or address.is_unspecified:
        return text
    if mapped := address.ipv4_mapped:
        return str(mapped)  # cut by the pattern for IPv4
    return str(ip_network((address, 48), strict=False).network_address)


def drop_persons(logger: Any, method: str, event: Event) -> Event:
    """Clean every text of the event, as structlog's processor."""
    for key, value in event.items():
        if key not in ("timestamp", "_record", "_from_structlog"):
            event[key] = _clean(value)
    return event


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {without_persons(str(key)): _clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(one) for one in value]
    return without_persons(str(value))


class WithoutPath(logging.Filter):
    """Django names the path of a request that failed, and a path is a text from outside: the route stands for it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if (request := getattr(record, "request", None)) is not None:
            match = getattr(request, "resolver_match", None)
            route = match.route if match else "an unknown address"
            # The words before the first placeholder: what would be put in comes from outside.
            record.msg, record.args = f"{re.split('[:(%]', str(record.msg))[0].strip()}: {route}", ()
        return True


def wrapped(name: str, line: str) -> str:
    """Return a line of a program as the log keeps it: one JSON object, whatever the program wrote."""
    try:
        if isinstance(event := json.loads(line), dict) and "event" in event:
            return line
    except ValueError:
        pass
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"event": without_persons(line), "logger": name, "level": "info", "timestamp": now})


def configuration(level: str, *, is_terminal: bool | None = None) -> dict[str, Any]:
    """Return Django's LOGGING: everything to standard error, as JSON, or for people where that is a terminal."""
    is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        drop_persons,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Processor = structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            }
        },
        "filters": {"without_path": {"()": WithoutPath}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines", "filters": ["without_path"]}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers out: one line, one handler.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            "django.request": {"level": logging.ERROR},  # `config.requests` tells of refusals
            "django.security.DisallowedHost": {"propagate": False},  # every scanner of the internet
            **{name: {"level": logging.WARNING} for name in CHATTY},
            **{name: {"level": logging.WARNING} for name in INDISCREET},
        },
    }
