"""Rows in order: where runs of equal ones begin."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def run_starts(*columns: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """For each row, given as columns of one length, whether it differs from the one before; the first one does.

    Of rows sorted by these columns: where a run of equal rows begins.
    """
    starts = np.ones(len(columns[0]), dtype=bool)
    np.not_equal(columns[0][1:], columns[0][:-1], out=starts[1:])
    for column in columns[1:]:
        starts[1:] |= column[1:] != column[:-1]
    return starts
