"""How two processes share the tests (`pytest -n 2`)."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
IS_SHARED = "PYTEST_XDIST_TESTRUNUID" in os.environ


class Sharing(LoadScopeScheduling):
    """Hand out what belongs together, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return belongs_to(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing:
    # Not `--dist loadgroup`: pytest-xdist 3.8 does not see its groups under pytest 9.2.
    config.option.loadscopereorder = False
    return Sharing(config, log)


def belongs_to(nodeid: str) -> str:
    """Return the name of what a test shares with others: they run in one process, one after the other."""
    file = nodeid.partition("::")[0]
    if _shares_a_muster(file):
        return "live_muster"
    return nodeid if _is_crawl(file) else file


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, and end with tests that fit in anywhere."""
    if IS_SHARED:
        items.sort(key=lambda item: (not _starts_a_muster(item.location[0]), _is_crawl(item.location[0])))


@cache
def _source(file: str) -> str:
    return (ROOT / file).read_text()


def _shares_a_muster(file: str) -> bool:
    return "live_muster" in _source(file)


def _starts_a_muster(file: str) -> bool:
    return _shares_a_muster(file) or "LiveMuster" in _source(file)


def _is_crawl(file: str) -> bool:
    return file.endswith("test_canary_crawl.py")
