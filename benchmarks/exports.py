"""Exports of a million members: placeholder until runs exist."""

from benchmarks.report import Figure
from benchmarks.shop import Shop


def one_million(shop: Shop) -> list[Figure]:
    """Nothing yet."""
    return []
