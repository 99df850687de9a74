"""The catalogue on disk: what was saved is read, and nothing else."""

from datetime import UTC, datetime

import pytest

from pixels import lastrows
from pixels.lastrows import CatalogueRows

ROWS = CatalogueRows(
    read_at=datetime(2026, 11, 22, 10, 15, 0, 114, UTC),
    advertisers=[[10, b"\x00\xff", "Europe/Berlin", ["shop.example"], None]],
    segments=[[12, "cart", True]],
    pixels=[[21, "7kQ2mB9xV4tL0aZs", datetime(2026, 11, 1, tzinfo=UTC)]],
    actions=[],
    write_keys=[[5, 10, "public", "mw_4f9c2b7a", "", False]],
    secrets=[[10, "v1:KEY:BOX"]],
    partners=[[10, "acme", ["sync.partner.example"], ""]],
    piggybacks=[],
)


def test_what_was_saved_is_read(tmp_path):
    file = tmp_path / "spool" / "catalogue.json"
    lastrows.save(file, "form", ROWS)
    assert lastrows.read(file, "form") == ROWS


def test_it_is_for_its_owner_alone(tmp_path):
    file = tmp_path / "catalogue.json"
    lastrows.save(file, "form", ROWS)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_rows_of_another_form_are_not_read(tmp_path):
    file = tmp_path / "catalogue.json"
    lastrows.save(file, "form", ROWS)
    assert lastrows.read(file, "another form") is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "7", '["form", 1]', '["form"', '["form", {"at": "never"}, [], [], [], []]']
)
def test_what_is_no_catalogue_is_not_read(tmp_path, text):
    file = tmp_path / "catalogue.json"
    file.write_text(text)
    assert lastrows.read(file, "form") is None


def test_no_file_is_no_catalogue(tmp_path):
    assert lastrows.read(tmp_path / "catalogue.json", "form") is None
