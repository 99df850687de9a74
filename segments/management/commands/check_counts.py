"""`manage.py check_counts`: the maintained numbers beside a real count."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from segments.recount import differences


class Command(BaseCommand):
    help = "Compare the sizes of all segments with a real count. Reads whole tables; exits 1 with what differs."

    def handle(self, *args: Any, **options: Any) -> None:
        found = list(differences())
        if found:
            raise CommandError("\n".join(map(str, found)))
        self.stdout.write("All numbers are what a real count says.")
