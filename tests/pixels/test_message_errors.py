"""The closed lists of the HTTP API's errors: in the code as in the documentation."""

import re
from pathlib import Path

import pytest

from pixels.messages.errors import STATUS, MessageError, RequestError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "http-api.md"


@pytest.mark.spec("pixels.md 4.4")
def test_error_lists_match_docs():
    page = PAGE.read_text()
    requests = re.findall(r"^\| `(\w+)` \| (\d{3}) \| (.+) \|$", page, re.MULTILINE)
    assert [(code, int(status), text) for code, status, text in requests] == [
        (error.value, STATUS[error], error.label) for error in RequestError
    ]
    (section,) = re.findall(r"^\| code \| message \|\n(.*?)(?=\n\n|\Z)", page, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE) == [
        (error.value, error.label) for error in MessageError
    ]
