"""The Online Retail file as a server's messages, in the order of time, for an advertiser whose rules are asked."""

import csv
import gzip
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connection, transaction

from audience.columns import batch_cursor
from audience.instants import instant
from audience.models import Advertiser, Identifier
from audience.recording import record
from audience.talk import speak
from audience.tenancy import acting_for
from pixels.messages.reading import read_request
from pixels.messages.sender import KnownWriteKey, Sender
from segments.surroundings import surroundings_of
from tests.segments.asked import rule_of
from tests.segments.rules.database import ask_many

BATCH = 2_500
PURCHASED, REFUND, ORDER = "product purchased", "refund", "order placed"


class Sent(NamedTuple):
    """A message and when it happened."""

    at: datetime
    message: dict[str, Any]


def read_messages(file: Path) -> Iterator[Sent]:
    """Yield a message for each row with a customer, and before the first row of an order one for the order."""
    orders = set()
    with gzip.open(file, "rt", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), 1):
            invoice, is_refund = row["invoice_no"], row["invoice_no"].startswith("C")
            if not row["customer_id"]:
                continue
            if not is_refund and invoice not in orders:
                orders.add(invoice)
                yield _sent(row, f"online_retail:order:{invoice}", ORDER, {})
            name = REFUND if is_refund else PURCHASED
            yield _sent(row, f"online_retail:{number}", name, _line(row))


def _sent(row: dict[str, str], message_id: str, event: str, properties: dict[str, Any]) -> Sent:
    message = {
        "type": "track",
        "messageId": message_id,
        "userId": row["customer_id"],
        "event": event,
        "properties": {"invoice_no": row["invoice_no"], **properties},
        "timestamp": row["invoice_date"],
    }
    return Sent(datetime.fromisoformat(row["invoice_date"]), message)


def _line(row: dict[str, str]) -> dict[str, Any]:
    """Return what one line says. A float of so few digits is written to JSON as the decimal that it stands for."""
    quantity, price = int(row["quantity"]), Decimal(row["unit_price"])
    return {
        "stock_code": row["stock_code"],
        "description": row["description"],
        "quantity": quantity,
        "unit_price": float(price),
        "amount": float(quantity * price),
    }


@dataclass
class Retailer:
    """An advertiser to whom the file comes bit by bit."""

    advertiser: Advertiser
    sent: Sequence[Sent]
    _come: int = 0

    def receive_up_to(self, at: datetime) -> None:
        """Record what has happened by an instant and has not come yet."""
        come = bisect_right(self.sent, at, key=lambda one: one.at)
        self.record(self.sent[self._come : come])
        self._come = come

    def record(self, sent: Sequence[Sent], *, delay: timedelta = timedelta(0)) -> None:
        """Record messages in batches, each received when the last of it happened, or so much later."""
        for start in range(0, len(sent), BATCH):
            batch = sent[start : start + BATCH]
            key = KnownWriteKey(id=1, advertiser_id=self.advertiser.pk, is_server=True)
            sender = Sender(key, instant(batch[-1].at + delay))
            read = read_request({"batch": [one.message for one in batch]}, None, sender, size=0)
            with transaction.atomic(), batch_cursor(connection.connection) as cursor:
                speak(cursor, record([one.message for one in read if one.message]))

    def find(self, node: Any, at: datetime) -> list[str]:
        """Ask a rule about everybody; return the customers whom it finds at an instant, sorted as text."""
        customers = self.customers()
        answers = ask_many(rule_of(node), list(customers), at, surroundings_of(self.advertiser.pk))
        return sorted(customers[id_] for id_, ranges in answers.items() if ranges and ranges[0][0] <= at)

    def customers(self) -> dict[Any, str]:
        """Return the customer of each profile."""
        with acting_for(self.advertiser.pk):
            return dict(Identifier.objects.filter(kind="customer_id").values_list("profile_id", "value"))
