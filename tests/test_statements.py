"""Each statement of the safety page that is shown by now keeps its test, under its id."""

import re
from pathlib import Path

# R6, the outbox, comes with webhooks.
SHOWN = {
    *(f"R{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12)),
    *(f"T{number}" for number in (4, 5, 7, 10, 11, 12, 14, 15, 16, 18, 20, 22, 23, 24, 26, 27, 31, 32, 33)),
    *("P21", "P22", "P35", "O11", "L"),
    *(f"S{number}" for number in range(1, 8)),
}
_MARK = re.compile(r"mark\.spec\(\"([A-Z]\d*)\"\)")


def test_every_statement_that_is_shown_has_its_test():
    files = Path(__file__).parent.rglob("test_*.py")
    marked = {one for file in files for one in _MARK.findall(file.read_text())}
    assert not SHOWN - marked, "nothing shows these any more"
