"""Small charts, drawn on the server as SVG: no script, no library, no colour of their own.

Shapes live in a box of 100 x 100 that the page stretches; the numbers beside it are text of the page, so that they
stay readable on a narrow screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.template.loader import render_to_string

_STEPS = (1, 2, 5)


@dataclass(frozen=True)
class Series:
    """One row of numbers. `tone` names its colour: size, join, leave, applied, rejected …"""

    name: str
    tone: str
    values: Sequence[int]


@dataclass(frozen=True)
class _Bar:
    tone: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class _Slot:
    """One step on the x axis: where the pointer is caught, and what it is told there."""

    x: float
    width: float
    tip: str


def sparkline(values: Sequence[int], label: str) -> str:
    """Return a line without axes, for a row of a table."""
    return render_to_string("admin/charts/sparkline.html", {"label": label, **_line(values, _top(values))})


def line_chart(labels: Sequence[str], series: Series, unit: str = "") -> str:
    """Return a line over its labels, with the area below it filled."""
    top = _nice_top(series.values)
    context = {**_line(series.values, top), **_axes(labels, top), "tone": series.tone}
    context["slots"] = _slots(labels, [series], unit)
    context["summary"] = _summary(labels, [series])
    return render_to_string("admin/charts/line.html", context)


def column_chart(labels: Sequence[str], series: Sequence[Series], unit: str = "") -> str:
    """Return columns over their labels, one on top of the other where there are several series."""
    sums = [sum(values) for values in zip(*(one.values for one in series), strict=True)]
    top = _nice_top(sums)
    context = {"bars": _bars(series, top), **_axes(labels, top), "series": series}
    context["slots"] = _slots(labels, series, unit)
    context["summary"] = _summary(labels, series)
    return render_to_string("admin/charts/columns.html", context)


def two_way_chart(labels: Sequence[str], up: Series, down: Series) -> str:
    """Return what came above a middle line and what went below it."""
    top = _nice_top([*up.values, *down.values])
    slot = 100 / max(len(labels), 1)
    bars = []
    for index in range(len(labels)):
        x, width = index * slot + slot * 0.12, slot * 0.76
        rise, fall = 48 * up.values[index] / top, 48 * down.values[index] / top
        bars += [_Bar(up.tone, x, 52 - rise, width, rise), _Bar(down.tone, x, 52, width, fall)]
    context = {**_axes(labels, top), "bars": [bar for bar in bars if bar.height], "is_two_way": True}
    context["slots"] = _slots(labels, [up, down], "")
    context["summary"] = _summary(labels, [up, down])
    return render_to_string("admin/charts/columns.html", context)


def _line(values: Sequence[int], top: int) -> dict[str, str]:
    if not values:
        return {"line": "", "area": ""}
    step = 100 / max(len(values) - 1, 1)
    points = [f"{index * step:.2f},{100 - 96 * value / top:.2f}" for index, value in enumerate(values)]
    if len(points) == 1:
        points.append(f"100,{points[0].partition(',')[2]}")
    return {"line": " ".join(points), "area": f"0,100 {' '.join(points)} 100,100"}


def _bars(series: Sequence[Series], top: int) -> list[_Bar]:
    count = len(series[0].values) if series else 0
    slot = 100 / max(count, 1)
    bars = []
    for index in range(count):
        base = 100.0
        for one in series:
            height = 96 * one.values[index] / top
            if height:
                base -= height
                bars.append(_Bar(one.tone, index * slot + slot * 0.12, base, slot * 0.76, height))
    return bars


def _slots(labels: Sequence[str], series: Sequence[Series], unit: str) -> list[_Slot]:
    width = 100 / max(len(labels), 1)
    slots = []
    for index, label in enumerate(labels):
        numbers = [f"{one.values[index]:,} {one.name or unit}".strip() for one in series]
        slots.append(_Slot(index * width, width, "\n".join([label, *numbers])))
    return slots


def _axes(labels: Sequence[str], top: int) -> dict[str, object]:
    middle = top // 2 if top % 2 == 0 else None
    marks = [labels[0], labels[len(labels) // 2], labels[-1]] if len(labels) > 2 else list(labels)
    return {"top": top, "middle": middle, "marks": marks}


def _summary(labels: Sequence[str], series: Sequence[Series]) -> str:
    """Return what a screen reader says in place of the picture."""
    if not labels:
        return "No numbers yet."
    totals = ", ".join(f"{one.name} {one.values[0]:,} to {one.values[-1]:,}" for one in series if one.values)
    return f"{labels[0]} to {labels[-1]}: {totals}."


def _top(values: Sequence[int]) -> int:
    return max([*values, 1])


def _nice_top(values: Sequence[int]) -> int:
    """Return a round number at or above the largest value, and an even one where that is possible."""
    largest = _top(values)
    size = 1
    while True:
        for step in _STEPS:
            if step * size >= largest and (step * size) % 2 == 0:
                return step * size
        size *= 10
