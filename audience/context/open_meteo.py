"""The weather by a service in the form of Open-Meteo: JSON over https, many cells in one question.

https://open-meteo.com/en/docs: `latitude` and `longitude` take lists, `current` names what is asked; the answer is an
object for one cell and a list of them, in the same order, for more. `weather_code` is of WMO's table 4677, as far as
the service uses it.
"""

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard
from urllib.parse import urlencode, urlsplit

from audience.context.cells import Cell, Condition, Sky

TIMEOUT_SECONDS = 10
MOST_BYTES = 1 << 20
LAST_SECOND = 1 << 32  # of Unix time that is believed

_CODES: dict[Condition, tuple[int, ...]] = {
    "clear": (0, 1),
    "cloud": (2, 3),
    "fog": (45, 48),
    "rain": (51, 53, 55, 56, 57, 61, 63, 65, 66, 67, 80, 81, 82),
    "snow": (71, 73, 75, 77, 85, 86),
    "storm": (95, 96, 99),
}
CONDITIONS: dict[float, Condition] = {code: condition for condition, codes in _CODES.items() for code in codes}


class WeatherUnavailable(Exception):
    """The service gave no answer that can be read. The message names neither address nor key."""


class OpenMeteo:
    """One service. `url` may have a query of its own, such as a key."""

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = urlsplit(url)
        self._timeout_seconds = timeout_seconds

    def observe(self, cells: Sequence[Cell]) -> dict[Cell, Sky]:
        """Return the weather of those cells that the service knows; raise `WeatherUnavailable`."""
        answer = self._ask(self._path(cells))
        answers = answer if isinstance(answer, list) else [answer]
        if len(answers) != len(cells):
            raise WeatherUnavailable(f"The weather service told of {len(answers)} cells, asked for {len(cells)}.")
        found = {cell: _sky(told) for cell, told in zip(cells, answers, strict=True)}
        return {cell: sky for cell, sky in found.items() if sky is not None}

    def _path(self, cells: Sequence[Cell]) -> str:
        question = urlencode(
            {
                "latitude": ",".join(f"{cell.lat_tenths / 10:.1f}" for cell in cells),
                "longitude": ",".join(f"{cell.lon_tenths / 10:.1f}" for cell in cells),
                "current": "temperature_2m,weather_code",
                "timeformat": "unixtime",
            },
            safe=",",
        )
        own = f"{self._url.query}&" if self._url.query else ""
        return f"{self._url.path or '/'}?{own}{question}"

    def _ask(self, path: str) -> Any:
        connection = self._connect()
        try:
            connection.request("GET", path, headers={"Accept": "application/json", "User-Agent": "Muster"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise WeatherUnavailable(f"The weather service answered {answer.status}.")
            body = answer.read(MOST_BYTES + 1)
            if len(body) > MOST_BYTES:
                raise WeatherUnavailable("The weather service answered with too much.")
            return json.loads(body)
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            # Not `from error`: its text may hold what was asked.
            raise WeatherUnavailable(f"The weather service gave no answer ({type(error).__name__}).") from None
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_seconds, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout_seconds)


def _sky(told: Any) -> Sky | None:
    current = told.get("current") if isinstance(told, dict) else None
    if not isinstance(current, Mapping):
        return None
    at, code, temperature = current.get("time"), current.get("weather_code"), current.get("temperature_2m")
    condition = CONDITIONS.get(code, "") if _is_number(code) else ""
    degrees = round(float(temperature), 1) if _is_number(temperature) and -100 < temperature < 70 else None
    if not (_is_number(at) and 0 < at < LAST_SECOND) or (not condition and degrees is None):
        return None
    return Sky(condition, degrees, float(at))


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
