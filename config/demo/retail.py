"""Real orders as fires: the Online Retail data set, its times moved so that the last day is today.

    Chen, D. (2015). Online Retail [Dataset]. UCI Machine Learning Repository. https://doi.org/10.24432/C5BW33
    (Creative Commons Attribution 4.0). The file is not part of Muster; it is read where it is given.

One invoice is one order, or with a leading C one cancellation. Rows without a customer are nobody's.
"""

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from config.demo import tags
from config.demo.plan import PlannedFire, in_order

TIME_ZONE = "Europe/London"
CURRENCY = "GBP"
HOST = "www.retailer.example"
HOME = "United Kingdom"
GIFT_WORD = "GIFT"
LARGE_ORDER = 50


class BadRetailFile(ValueError):
    """The file is not the one that the demo reads."""


@dataclass
class Invoice:
    """An order or a cancellation with its lines added up. `amount` is what was paid, or paid back."""

    number: str
    customer: int
    at: datetime
    is_cancellation: bool
    is_from_abroad: bool
    amount: Decimal = field(default=Decimal(0))
    has_gift: bool = False


def read_invoices(path: Path) -> list[Invoice]:
    """Return the invoices of all customers in the order of the file, at the earliest time of their lines."""
    invoices: dict[str, Invoice] = {}
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["customer_id"]:
                    _add(invoices, row)
    except (OSError, EOFError, zlib.error, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise BadRetailFile(f"{path} is not the Online Retail file (gzip, CSV): {error!r}.") from error
    if not invoices:
        raise BadRetailFile(f"{path} is not the Online Retail file (gzip, CSV): no row has a customer.")
    return list(invoices.values())


def _add(invoices: dict[str, Invoice], row: dict[str, str]) -> None:
    number, at = row["invoice_no"], datetime.fromisoformat(row["invoice_date"])
    is_cancellation = number.startswith("C")
    invoice = invoices.setdefault(
        number, Invoice(number, int(row["customer_id"]), at, is_cancellation, row["country"] != HOME)
    )
    invoice.at = min(invoice.at, at)
    amount = Decimal(row["unit_price"]) * int(row["quantity"])
    invoice.amount += -amount if is_cancellation else amount
    invoice.has_gift |= GIFT_WORD in row["description"]


def plan_fires(invoices: Iterable[Invoice], until: datetime) -> list[PlannedFire]:
    """Return the fires of all invoices in the order of time."""
    invoices = list(invoices)
    shift = shift_to(max(invoice.at for invoice in invoices), until)
    return in_order(fire for invoice in invoices for fire in _fires(invoice, shift))


def shift_to(last: datetime, until: datetime) -> timedelta:
    """Return by how much all times are moved: whole days, so that the last day is today.

    Where that hour is still to come today, all come earlier by the same whole minutes: the last one is just over.
    """
    days = timedelta(days=(until.date() - last.date()).days)
    latest = until.replace(second=0, microsecond=0) - timedelta(minutes=1)
    return min(days, latest - last)


def _fires(invoice: Invoice, shift: timedelta) -> Iterator[PlannedFire]:
    at, value = invoice.at + shift, str(int(invoice.amount))
    if invoice.is_cancellation:
        yield PlannedFire(at, invoice.customer, tags.REFUND, value, "/account/returns")
        return
    yield PlannedFire(at, invoice.customer, tags.ORDER, value, "/checkout/done")
    if invoice.amount > LARGE_ORDER:
        yield PlannedFire(at, invoice.customer, tags.ORDER_OVER_50, value, "/checkout/done")
    if invoice.has_gift:
        yield PlannedFire(at, invoice.customer, tags.GIFT_ORDER, path="/checkout/done")
    if invoice.is_from_abroad:
        yield PlannedFire(at, invoice.customer, tags.ORDER_FROM_ABROAD, path="/checkout/done")
