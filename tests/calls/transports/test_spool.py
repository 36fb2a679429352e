"""The journal on disk: whole lines come back, torn ones do not, and the database's word lets go of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from calls.transports import spool as module
from calls.transports.spool import Spool, adopt_orphans, forget, read_lines


def test_lines_come_back_in_order_and_a_torn_one_is_passed_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "one")
    spool.append([b"first", b"second"])
    spool.append([b"third"])
    (segment,) = spool.path.glob("*.spool")
    with segment.open("ab") as file:
        file.write(b"00000000 damaged\nzzzz worse\n1234")
    assert list(read_lines(spool.path)) == [b"first", b"second", b"third"]


def test_segments_go_when_the_database_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    spool = Spool(tmp_path, "one")
    for number in range(10):
        spool.append([b"line %d" % number * 5])
    assert len(list(spool.path.glob("*.spool"))) > 2
    spool.acknowledge(5)
    assert [line[:6] for line in read_lines(spool.path)][-1] == b"line 9"
    spool.acknowledge(10)
    assert list(read_lines(spool.path)) == []
    spool.append([b"next"])
    assert list(read_lines(spool.path)) == [b"next"]
    spool.close(complete=True)
    assert not spool.path.exists()


def test_a_living_process_keeps_its_journal_and_a_dead_ones_is_adopted_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "one")
    spool.append([b"left behind"])
    with adopt_orphans(tmp_path) as orphans:
        assert orphans == []
    spool.close(complete=False)  # what the system does for a killed process
    with adopt_orphans(tmp_path) as orphans:
        assert orphans == [spool.path]
        with adopt_orphans(tmp_path) as others:
            assert others == []
        assert list(read_lines(orphans[0])) == [b"left behind"]
        forget(orphans[0])
    with adopt_orphans(tmp_path) as orphans:
        assert orphans == []
