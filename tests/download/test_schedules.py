"""Some random schedules and some real kills; ``scripts/soak/downloads.py --schedules 1000`` carries out many."""

from __future__ import annotations

from pathlib import Path

import processes
import pytest
import schedules


@pytest.mark.parametrize("seed", range(25))
def test_a_file_is_whole_or_not_there_wherever_server_and_process_fail(tmp_path: Path, seed: int) -> None:
    assert schedules.problems_of(seed, tmp_path) == []


def test_a_command_that_is_killed_or_told_to_end_goes_on_where_it_was(tmp_path: Path) -> None:
    problems, went_on = processes.problems_of(1, tmp_path, ends=2)
    assert problems == []
    assert went_on  # else nothing was shown
