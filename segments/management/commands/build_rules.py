"""`manage.py build_rules`: compute the rules that wait, as the worker does, and show how far it is."""

from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from segments.building import build
from segments.models import RuleVersion


class Command(BaseCommand):
    help = "Build the rules that were saved, for everybody, and let them serve. It may be stopped and run again."

    def handle(self, *args: Any, **options: Any) -> None:
        with tqdm(unit=" profiles", disable=None) as bar:

            def show(version: RuleVersion) -> None:
                bar.set_description(f"Segment {version.segment_id}, version {version.number}")
                bar.total, bar.n = version.profiles_total, version.profiles_done
                bar.refresh()

            built = build(progress=show)
        if built is None:
            self.stdout.write("Somebody is at it already.")
        else:
            self.stdout.write(f"{built.switched} serve from now on, {built.failed} failed.")
