"""`manage.py rotate_secrets`: seal every stored secret under the first of DELIVERY_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audience import proofs
from audience.models import IdentitySecret
from audience.sealing import Unreadable
from audience.tenancy import acting_for
from exports import vault
from exports.models import DestinationSecret
from exports.reasons import DeliveryError


class Command(BaseCommand):
    help = (
        "Seals every stored password and key under the first of DELIVERY_KEYS. Afterwards the older keys can be "
        "taken out of the setting."
    )

    def handle(self, **options: Any) -> None:
        rotated, unreadable = 0, []
        for stored in DestinationSecret.all_advertisers.select_related("destination").iterator():
            with acting_for(stored.advertiser_id):
                try:
                    rotated += vault.rotate(stored)
                except DeliveryError:
                    unreadable.append(f"{stored.destination} ({stored.get_kind_display()})")
        for secret in IdentitySecret.all_advertisers.select_related("advertiser").iterator():
            try:
                rotated += proofs.rotate(secret)
            except Unreadable:
                unreadable.append(f"{secret.advertiser} (identity secret)")
        self.stdout.write(f"{rotated} secrets were sealed anew.")
        if unreadable:
            raise CommandError("These could not be opened with any of the keys: " + ", ".join(unreadable))
