"""A process of a test that does what doors and workers do: `python -m tests.segments.engine.shopper fire 1 7`.

`fire ADVERTISER SEED` tells of random people until the file in `STOP_FILE` is there: events, merges, late facts.
`build` builds what waits, again and again, in small chunks; `sweep` publishes what time has changed.
"""

import os
import random
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import django

PEOPLE = 24
HEARD_AFTER = timedelta(milliseconds=500)


def fire(advertiser_id: int, seed: int) -> Callable[[], None]:
    import psycopg  # noqa: PLC0415 -- after django.setup()
    from django.db import connection, transaction  # noqa: PLC0415

    from audience import instants  # noqa: PLC0415
    from audience.columns import batch_cursor  # noqa: PLC0415
    from audience.identity import Key, ProfileGone  # noqa: PLC0415
    from audience.messages import Message  # noqa: PLC0415
    from audience.recording import record  # noqa: PLC0415
    from audience.talk import speak  # noqa: PLC0415
    from segments import rulebook  # noqa: PLC0415

    again = (ProfileGone, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
    draw = random.Random(seed)

    def message() -> Message:
        now, number = instants.now(), draw.randrange(PEOPLE)
        late = draw.choice((0, 0, 0, 20 * instants.SECOND))
        # Every third person has two browsers, which prove to be one customer's sooner or later.
        proven = (Key(advertiser_id, "customer_id", f"C{number // 3}"),) if draw.random() < 0.1 else ()
        return Message(
            id=uuid4().bytes,
            kind="track",
            advertiser_id=advertiser_id,
            received_at=now,
            occurred_at=now - late,
            own=Key(advertiser_id, "browser", f"b{number}"),
            proven=proven,
            event=draw.choice(("view", "view", "buy")),
            properties="{}",
            context="{}",
            traits="{}",
        )

    def once() -> None:
        told = [message() for _ in range(draw.choice((1, 3, 8)))]
        rulebook.refresh()
        while True:
            try:
                with transaction.atomic(), batch_cursor(connection.connection) as cursor:
                    speak(cursor, record(told))
            except again:
                continue
            return

    return once


def build() -> Callable[[], object]:
    from segments import building  # noqa: PLC0415 -- after django.setup()

    building.CHUNK_PROFILES, building.HEARD_AFTER = 2, HEARD_AFTER
    return building.build


def sweep() -> Callable[[], object]:
    from segments import sweeper  # noqa: PLC0415 -- after django.setup()

    return sweeper.sweep


def main() -> None:
    django.setup()
    what, *numbers = sys.argv[1:]
    once = {"fire": fire, "build": build, "sweep": sweep}[what](*map(int, numbers))
    while not Path(os.environ["STOP_FILE"]).exists():
        once()


if __name__ == "__main__":
    main()
