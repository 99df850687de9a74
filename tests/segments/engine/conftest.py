"""Each test begins with an empty book."""

import pytest

from segments import rulebook


@pytest.fixture(autouse=True)
def empty_book():
    rulebook.forget()
    yield
    rulebook.forget()
