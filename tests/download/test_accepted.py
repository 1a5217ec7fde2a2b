"""A licence that a user accepts is recorded once for a version, with its words; what was not accepted is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from redpajama_data.cli.main import cli
from redpajama_data.download import accepted, acquire, plan
from redpajama_data.download.plan import Licence, Listing, Wanted
from redpajama_data.download.stand import stand_of
from redpajama_data.errors import UsageError

TERMS = Licence("arxiv", "https://example.org/terms", "You pay.", accept=True)
SHOWN = Licence("cc", "https://example.org/cc", "For all.")


def listed(to: Path, version: str, *licences: Licence) -> plan.Plan:
    return plan.save(str(to), "toy", Listing(version, [Wanted("a.gz", "https://example.org/a", 3)], [*licences]), {})


def allowed(to: Path, version: str, *licences: Licence, names: tuple[str, ...] = ("arxiv", "cc")) -> None:
    acquire.allow([stand_of(listed(to, version, *licences), str(to))], str(to), names, 0.0, None)


def test_what_is_accepted_is_recorded_once_a_version(tmp_path: Path) -> None:
    allowed(tmp_path, "v1", TERMS, SHOWN)
    allowed(tmp_path, "v1", TERMS, SHOWN)
    [first] = accepted.load(str(tmp_path), "toy")
    assert (first.licence, first.address, first.text, first.version) == ("arxiv", TERMS.address, TERMS.text, "v1")
    assert first.time.endswith("+00:00")
    allowed(tmp_path, "v2", TERMS)
    other = Licence("arxiv", TERMS.address, "You pay more.", accept=True)
    allowed(tmp_path, "v2", other)
    found = accepted.load(str(tmp_path), "toy")
    assert [(each.version, each.text) for each in found] == [
        ("v1", "You pay."),
        ("v2", "You pay."),
        ("v2", "You pay more."),
    ]
    assert found[0] == first


def test_what_is_not_accepted_is_refused_and_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --accept-licence arxiv if you accept it"):
        allowed(tmp_path, "v1", TERMS, names=("other",))
    assert accepted.load(str(tmp_path), "toy") == []


def test_nothing_missing_is_nothing_accepted(tmp_path: Path) -> None:
    listed(tmp_path, "v1", TERMS)
    (tmp_path / "toy" / "a.gz").write_bytes(b"abc")
    stand = stand_of(listed(tmp_path, "v1", TERMS), str(tmp_path))
    assert (stand.here.missing, stand.here.to_check) == (0, 1)
    acquire.allow([stand], str(tmp_path), ["arxiv"], 0.0, None)
    assert accepted.load(str(tmp_path), "toy") == []


def test_status_shows_it_and_a_damaged_record_is_named(tmp_path: Path) -> None:
    allowed(tmp_path, "v1", TERMS)
    shown = CliRunner().invoke(cli, ["status", str(tmp_path)]).output
    assert "  licence arxiv accepted 20" in shown
    assert " for version v1" in shown
    (tmp_path / "toy/_download" / accepted.ACCEPTED).write_bytes(b"{")
    with pytest.raises(UsageError, match=r"damaged .* Move it away"):
        accepted.load(str(tmp_path), "toy")
