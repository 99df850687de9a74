"""What the log says: one JSON object a line, and no person in it."""

import logging
import re
from collections.abc import MutableMapping
from typing import Any

import structlog

Event = MutableMapping[str, Any]

# What looks like a person is taken out of every text, wherever it came from (a path, an exception).
PERSONAL = [
    (re.compile(r"[^\s\"'<>()=,;:/?&]+(?:@|%40)[^\s\"'<>()=,;:/?&]+\.[A-Za-z]{2,}"), "[email]"),
    (re.compile(r"(?:\+|%2[bB])\d[\d .()-]{6,}\d"), "[phone]"),
    (re.compile(r"\b(?!127\.)(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}\b"), r"\1.0"),
    (re.compile(r"\b(?:[0-9a-fA-F]{1,4}:){3,7}(?::?[0-9a-fA-F]{1,4})+\b"), "[address]"),
]
# Three lines for each task of the clockwork, every two seconds; what fails is an error, and stays.
CHATTY = ("celery.beat", "celery.app.trace", "celery.worker.strategy")
DATABASE_DETAIL = re.compile(r"^\s*(DETAIL|CONTEXT):.*$", re.MULTILINE)


def without_persons(text: str) -> str:
    """Return `text` with e-mail addresses, phone numbers and network addresses taken out or cut.

    PostgreSQL's DETAIL and CONTEXT quote values of rows; they go too.
    """
    text = DATABASE_DETAIL.sub(r"\1: left out", text)
    for pattern, replacement in PERSONAL:
        text = pattern.sub(replacement, text)
    return text


def drop_persons(logger: Any, method: str, event: Event) -> Event:
    """Clean every text of the event, as structlog's processor."""
    for key, value in event.items():
        if key != "timestamp" and isinstance(value, str):
            event[key] = without_persons(value)
    return event


def configuration(level: str) -> dict[str, Any]:
    """Return Django's LOGGING: everything to standard error, as JSON."""
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
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers out: one line, one handler.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            "django.security.DisallowedHost": {"propagate": False},  # every scanner of the internet
            # A line or three for each task of the clockwork, every two seconds.
            **{
                name: {"level": logging.WARNING}
                for name in ("celery.beat", "celery.app.trace", "celery.worker.strategy")
            },
            "asyncssh": {"level": logging.WARNING},  # names hosts and users at INFO
        },
    }
