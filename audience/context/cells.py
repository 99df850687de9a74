"""Cells of a tenth of a degree, about 11 km high, and what the weather in one was."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, NamedTuple

from audience.context.texts import known

Condition = Literal["clear", "cloud", "rain", "snow", "fog", "storm", ""]
VALID_HOURS = 3


class Cell(NamedTuple):
    """Latitude and longitude in tenths of a degree."""

    lat_tenths: int
    lon_tenths: int


class Sky(NamedTuple):
    """The weather as it was at `observed_at`, in Unix time; it is valid for `VALID_HOURS` after that."""

    condition: Condition
    temperature: float | None  # °C
    observed_at: float

    def holds_at(self, at: float) -> bool:
        """Say whether this is the weather at an instant, in Unix time."""
        return self.observed_at <= at < self.observed_at + 3600 * VALID_HOURS

    def fields(self) -> dict[str, str | int | float]:
        """Return it as a group of a context."""
        return known(condition=self.condition, temperature=self.temperature)


def cell_of(lat: float, lon: float) -> Cell:
    """Return the cell of a place; half a tenth is rounded away from zero, as PostgreSQL rounds a numeric."""
    return Cell(_tenths(lat), _tenths(lon))


def _tenths(degrees: float) -> int:
    return int((Decimal(str(degrees)) * 10).quantize(Decimal(1), ROUND_HALF_UP))
