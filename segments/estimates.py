"""How many there are of something, by a random part of all: a number with its range (rules.md 2.14)."""

from dataclasses import dataclass
from math import sqrt

Z_OF_95_PERCENT = 1.96
FIGURES = 3


@dataclass(frozen=True)
class Estimate:
    """`hits` of the `asked` ones, among `everybody`. Where all were asked it is the number itself."""

    hits: int
    asked: int
    everybody: int

    @property
    def is_exact(self) -> bool:
        return self.asked >= self.everybody

    @property
    def is_one(self) -> bool:
        return self.is_exact and self.hits == 1

    @property
    def about(self) -> int:
        return self.hits if self.is_exact else _rounded(self.hits / self.asked * self.everybody)

    @property
    def low(self) -> int:
        return self.hits if self.is_exact else _rounded(self._wilson(-1) * self.everybody)

    @property
    def high(self) -> int:
        return self.hits if self.is_exact else _rounded(self._wilson(1) * self.everybody)

    def _wilson(self, sign: int) -> float:
        """Return an end of the 95 % interval of Wilson (1927), as a share."""
        if sign < 0 and not self.hits:
            return 0
        if sign > 0 and self.hits == self.asked:
            return 1
        n, share, z = self.asked, self.hits / self.asked, Z_OF_95_PERCENT
        half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return (share + z * z / (2 * n) + sign * half) / (1 + z * z / n)

    def __str__(self) -> str:
        if self.is_exact:
            return f"{self.hits:,}"
        if not self.hits:
            return f"at most {self.high:,}"
        return f"about {self.about:,} ({self.low:,} to {self.high:,})"


def _rounded(number: float) -> int:
    """Return a number to three figures."""
    whole = round(number)
    return round(whole, min(FIGURES - len(str(whole)), 0))
