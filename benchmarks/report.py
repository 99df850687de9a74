"""What a benchmark found: a table beside the targets, and `benchmarks/results.json`."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Target:
    """What a figure must reach: at least (`sign` is +1) or at most (-1) so much."""

    sign: int
    bound: float

    def __str__(self) -> str:
        return f"{'≥' if self.sign > 0 else '≤'} {self.bound:g}"

    def is_met(self, value: float) -> bool:
        return value * self.sign >= self.bound * self.sign


def at_least(bound: float) -> Target:
    return Target(1, bound)


def at_most(bound: float) -> Target:
    return Target(-1, bound)


@dataclass(frozen=True)
class Figure:
    """One measured figure: its runs, of which the median counts."""

    name: str
    runs: Sequence[float]
    unit: str
    target: Target | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.runs)

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "met" if self.target.is_met(self.value) else "MISSED"

    def row(self) -> str:
        span = f"{min(self.runs):,.4g} to {max(self.runs):,.4g}"
        target = str(self.target or "")
        return f"{self.name:32} {self.value:>12,.4g} {self.unit:10} {span:>24} {target:>10} {self.verdict}"


def machine() -> str:
    """Return the processor, the number of cores and the Python of this machine."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}"


def write(figures: Sequence[Figure]) -> None:
    """Add the figures to the results of earlier runs: `make bench ONLY=name` renews one."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = machine()
    for figure in figures:
        results[figure.name] = {
            "value": round(figure.value, 4),
            "min": round(min(figure.runs), 4),
            "max": round(max(figure.runs), 4),
            "runs": len(figure.runs),
            "unit": figure.unit,
            "target": str(figure.target) if figure.target else None,
        }
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
