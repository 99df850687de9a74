"""`manage.py demo`: a filled advertiser to look at, by way of the running server."""

import socket
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from audience.models import Advertiser, WriteKey
from audience.tenancy import acting_for
from audience.writekeys import issue_write_key, revoke_write_key
from config.demo import advertiser as rows
from config.demo import retail, rules, shop, storefront
from config.demo.deliveries import NotDelivered, deliver
from config.demo.plan import PlannedFire, Story
from config.demo.player import PlayStopped, Stage, messages_of, play
from pixels.models import Pixel
from pixels.replay import Replay
from segments import counts, sweeper
from segments.models import Segment

RETAILER = "Demo retailer"
KEY_NAME = "Past of the shop"  # of the write key by which the events come; it is revoked at the end
VISITORS = 10_000
LINES = 10  # of progress, where nobody watches a bar


class Command(BaseCommand):
    """Make a demo advertiser, play its shop's past at the door, and send its segments to a folder."""

    help = (
        "Fill a demo advertiser: plays a shop's last weeks as fires at the running server, and exports to a folder."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--retail", type=Path, metavar="FILE", help="play the real orders of online_retail.csv.gz"
        )
        parser.add_argument("--again", action="store_true", help="make one more demo advertiser beside the first")
        parser.add_argument("--visitors", type=int, default=VISITORS, help=f"of the generated shop ({VISITORS:,})")
        parser.add_argument("--seed", type=int, default=1, help="another one gives another shop of the same kind")

    def handle(self, *args: Any, **options: Any) -> None:
        name = RETAILER if options["retail"] else shop.NAME
        if (made := rows.made_as(name)) and not options["again"]:
            state = "is there already" if rows.is_played(made[-1]) else "is there, and was not played to its end"
            self._say(f"{made[-1]} {state}; nothing was changed. --again makes another one.")
            return
        refuse_without_door()
        story = self._story(options)
        pixels = {fire.pixel for fire in story.fires}
        advertiser = rows.make_advertiser(
            rows.free_name(name),
            time_zone=story.time_zone,
            currency=story.currency,
            host=story.host,
            pixels=pixels,
            since=story.fires[0].at,
        )
        if name == shop.NAME:
            storefront.open_shop(advertiser)
        with acting_for(advertiser.pk):
            self._play(advertiser, story)
            self._show_sizes(list(Segment.objects.all()))
            # Not before: facts of the past come in batches of many times, and a rule is asked at one.
            by_rules = rules.make_rule_segments(advertiser, pixels)
            self._deliver(advertiser)
            self._show_built(by_rules)

    def _story(self, options: dict[str, Any]) -> Story:
        now = datetime.now(UTC)
        if file := options["retail"]:
            try:
                fires = retail.plan_fires(retail.read_invoices(file), now)
            except retail.BadRetailFile as error:
                raise CommandError(str(error)) from error
            return Story(retail.TIME_ZONE, retail.CURRENCY, retail.HOST, fires)
        fires = shop.plan_fires(seed=options["seed"], visitors=options["visitors"], until=now)
        return Story(shop.TIME_ZONE, shop.CURRENCY, shop.HOST, fires)

    def _play(self, advertiser: Advertiser, story: Story) -> None:
        """Play all fires, then let time publish what it has ended: not before, or it would run ahead of the story."""
        began = time.monotonic()
        key, server_key = issue_write_key(advertiser, name=KEY_NAME, kind=WriteKey.Kind.SERVER)
        stage = Stage(
            door=settings.MUSTER_PIXEL_URL,
            page_host=story.host,
            keys={pixel.name: pixel.public_key for pixel in Pixel.objects.all()},
            replay=Replay(settings.MUSTER_REPLAY_KEY),
            server_key=server_key,
        )
        with sweeper.paused(), Progress(self, advertiser.name, len(story.fires)) as progress:
            try:
                play(story.fires, stage, progress.step)
            except (PlayStopped, KeyboardInterrupt) as stopped:
                why = str(stopped) or "Stopped."
                raise CommandError(f"{why} {advertiser.name} is half filled; --again starts over.") from stopped
            finally:
                revoke_write_key(key)
            sweeper.sweep()
        events = sum(len(messages_of(fire)) for fire in story.fires)
        seconds = time.monotonic() - began
        self._say(f"{advertiser.name}: {len(story.fires):,} fires and {events:,} events in {seconds:.0f} s.")

    def _show_sizes(self, segments: list[Segment]) -> None:
        sizes = counts.sizes(segments, timezone.now())
        for segment in segments:
            self._say(f"{sizes[segment.pk]:>9,}  {segment.name}")

    def _show_built(self, segments: list[Segment]) -> None:
        self._say(f"{len(segments):>9}  rules are asked about everybody.")
        try:
            for segment in rules.await_built(segments):
                self._show_sizes([segment])
        except rules.NotBuilt as error:
            raise CommandError(str(error)) from error

    def _deliver(self, advertiser: Advertiser) -> None:
        try:
            for file in deliver(advertiser):
                self._say(f"{file.rows:>9,}  rows in {file.path}")
        except NotDelivered as error:
            raise CommandError(str(error)) from error

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


class Progress:
    """A bar for a terminal; a line for each tenth where the output goes to a log."""

    def __init__(self, command: Command, name: str, total: int) -> None:
        self._command = command
        self._name = name
        self._total = total
        self._done = 0
        self._bar: tqdm[Any] = tqdm(total=total, desc=name, unit=" fires", disable=None)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, fire: PlannedFire) -> None:
        self._done += 1
        if not self._bar.disable:
            self._bar.update()
        elif self._done * LINES // self._total > (self._done - 1) * LINES // self._total:
            self._command.stdout.write(f"{self._name}: {self._done:,} of {self._total:,} fires, {fire.at:%-d %B}")


def refuse_without_door() -> None:
    """Find out before any row is made that nobody answers."""
    address = urlsplit(settings.MUSTER_PIXEL_URL)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError as error:
        raise CommandError(
            f"The door at {settings.MUSTER_PIXEL_URL} does not answer. Start Muster first (make up), then try again."
        ) from error
