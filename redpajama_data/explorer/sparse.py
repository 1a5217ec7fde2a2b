"""Rows with few entries, and their product with a dense matrix: all of sparse algebra that is needed here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_AT_ONCE = 1 << 17  # entries of a product held at a time: 32 MB for 64 columns


@dataclass(frozen=True)
class Sparse:
    """A matrix of ``len(begins) - 1`` rows: row i has ``values[begins[i]:begins[i + 1]]`` in those ``columns``."""

    begins: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int32]
    values: Floats
    width: int

    @property
    def rows(self) -> int:
        return len(self.begins) - 1

    def transposed(self) -> Sparse:
        """Columns as rows."""
        order = np.argsort(self.columns, kind="stable")
        row = np.repeat(np.arange(self.rows, dtype=np.int32), np.diff(self.begins))
        begins = np.zeros(self.width + 1, np.int64)
        np.cumsum(np.bincount(self.columns, minlength=self.width), out=begins[1:])
        return Sparse(begins, row[order], self.values[order], self.rows)

    def times(self, dense: npt.NDArray[Any]) -> Floats:
        """The product with a dense matrix of :attr:`width` rows. Sums run in a fixed order: the same bits each time."""
        out = np.zeros((self.rows, dense.shape[1]), np.float32)
        filled = np.flatnonzero(np.diff(self.begins))
        first = 0
        while first < len(filled):
            end = int(np.searchsorted(self.begins, self.begins[filled[first]] + _AT_ONCE, "right")) - 1
            last = max(int(np.searchsorted(filled, end)), first + 1)
            rows = filled[first:last]
            begin, stop = self.begins[rows[0]], self.begins[rows[-1] + 1]
            products = dense[self.columns[begin:stop]] * self.values[begin:stop, None]
            out[rows] = np.add.reduceat(products, self.begins[rows] - begin, axis=0)
            first = last
        return out
