"""The map: neighbours close to each other in two dimensions, by t-SNE with its forces on a grid (FIt-SNE).

Linderman et al. (2019): what pushes documents apart is a convolution, so that a step takes time by the number of
documents, not of pairs. Affinities are those of the nearest neighbours, all alike. It begins with the first two
principal axes, so that the same vectors give the same map. numpy alone: a compiler would take longer than the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.explorer.neighbours import Ints

Places = npt.NDArray[np.float64]
_EARLY, _STEPS = 100, 300  # steps with neighbours pulled together, and in all
_PULL_EARLY, _PULL = 12.0, 1.0  # how much more they are pulled: Belkina et al. (2019)
_GRIDS = (64, 128, 256, 512)  # points of a side
_CELL = 0.5  # of a grid, at most, while a larger grid is there: half the width of the kernel
_GROWTH = 1.25  # a grid is made for so much more than the map takes, so that it serves for many steps
_LEAST = 4  # documents that make a map
_PAIRS = 400  # documents up to which all pairs take less time than a grid


def principal(vectors: npt.NDArray[Any], count: int) -> npt.NDArray[np.float32]:
    """Vectors along their first principal axes, the largest first; zeros where there are fewer axes."""
    middle, axes = principal_axes(vectors, count)
    found: npt.NDArray[np.float32] = ((vectors.astype(np.float64) - middle) @ axes).astype(np.float32)
    return found


def principal_axes(vectors: npt.NDArray[Any], count: int) -> tuple[Places, Places]:
    """The middle of vectors, and their first principal axes as columns."""
    middle: Places = vectors.mean(axis=0)
    centred = vectors.astype(np.float64) - middle
    values, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, np.argsort(-values, kind="stable")[:count]]
    axes *= np.where(axes[np.argmax(np.abs(axes), axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    return middle, axes


def layout(neighbours: Ints, start: npt.NDArray[Any]) -> Places:
    """The place of each document: (n, 2). ``neighbours`` as :func:`~redpajama_data.explorer.neighbours.nearest` gives
    them, ``start`` where they begin. Fewer than four documents stay where they begin."""
    places = start.astype(np.float64)
    total, count = neighbours.shape
    if total < _LEAST or not count:
        return places
    spread = places.std(axis=0).max()
    # Equal documents begin at equal places; they must part, the same way each time.
    places = places / (spread or 1) * 1e-4 + np.random.default_rng(0).standard_normal(places.shape) * 1e-6
    speed, gains = np.zeros_like(places), np.ones_like(places)
    rate = max(total / _PULL_EARLY, 50.0)
    grid: _Grid | None = None
    for step in range(_STEPS):
        early = step < _EARLY
        if total <= _PAIRS:
            push, normal = _of_all_pairs(places)
        else:
            grid = _fitting(places, grid)
            push, normal = grid.forces(places)
        pull = _pull(places, neighbours) * ((_PULL_EARLY if early else _PULL) / (2 * total * count))
        slope = 4 * (pull - push / normal)
        gains = np.maximum(np.where(np.sign(slope) != np.sign(speed), gains + 0.2, gains * 0.8), 0.01)
        speed = (0.5 if early else 0.8) * speed - rate * gains * slope
        places = places + speed
        places -= places.mean(axis=0)
    return places


def _pull(places: Places, neighbours: Ints) -> Places:
    """What draws each document to its neighbours and to those whose neighbour it is."""
    total = len(places)
    flat = neighbours.ravel()
    out = np.empty_like(places)
    apart = [places[:, axis, None] - places[neighbours, axis] for axis in (0, 1)]
    weight = 1 / (1 + apart[0] ** 2 + apart[1] ** 2)
    for axis in (0, 1):
        force = weight * apart[axis]
        out[:, axis] = force.sum(axis=1) - np.bincount(flat, force.ravel(), minlength=total)
    return out


def _of_all_pairs(places: Places) -> tuple[Places, float]:
    """What pushes each document away from all others, before it is normalised, and the normaliser."""
    x, y = (places[:, axis, None] - places[None, :, axis] for axis in (0, 1))
    weight = 1 / (1 + x**2 + y**2)
    square = weight**2
    return np.stack([(square * x).sum(axis=1), (square * y).sum(axis=1)], axis=1), float(weight.sum()) - len(places)


@dataclass(frozen=True)
class _Grid:
    """A square of ``side`` grid points around the origin that is ``width`` wide, with the kernels transformed."""

    side: int
    width: float
    kernels: tuple[npt.NDArray[Any], ...]

    def forces(self, places: Places) -> tuple[Places, float]:
        """:func:`_of_all_pairs`, nearly."""
        side = self.side
        at = (places / self.width + 0.5) * (side - 1)
        low = np.clip(at.astype(np.int64), 0, side - 2)
        part = at - low
        corners = []
        for dx in (0, 1):
            for dy in (0, 1):
                share = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
                corners.append(((low[:, 0] + dx) * side + low[:, 1] + dy, share))
        mass = np.zeros(side * side)
        for index, share in corners:
            mass += np.bincount(index, share, minlength=side * side)
        charged = np.fft.rfft2(mass.reshape(side, side), (2 * side, 2 * side))
        felt = []
        for kernel in self.kernels:
            field = np.fft.irfft2(charged * kernel, (2 * side, 2 * side))[:side, :side].ravel()
            felt.append(sum(field[index] * share for index, share in corners))
        normal = max(float(felt[0].sum()) - self._own(part), 1e-9)
        return np.stack(felt[1:], axis=1), normal

    def _own(self, part: Places) -> float:
        """What the documents feel of themselves: the corners of a cell, each of all four."""
        across = 2 * part * (1 - part)  # the share of pairs of corners that lie across, along each axis
        step = (self.width / (self.side - 1)) ** 2
        x, y = across[:, 0], across[:, 1]
        near, far = 1 / (1 + step), 1 / (1 + 2 * step)
        return float(((1 - x) * (1 - y) + (x + y - 2 * x * y) * near + x * y * far).sum())


def _fitting(places: Places, grid: _Grid | None) -> _Grid:
    """A grid that holds all places: the one there is, while they fit it and fill it."""
    span = 2 * float(np.abs(places).max()) + 1e-9
    if grid is not None and grid.width / _GROWTH**3 < span <= grid.width:
        return grid
    width = span * _GROWTH
    side = next((side for side in _GRIDS if width / side <= _CELL), _GRIDS[-1])
    step = width / (side - 1)
    along = np.fft.fftfreq(2 * side, 1 / (2 * side)) * step
    x, y = along[:, None], along[None, :]
    near = 1 / (1 + x**2 + y**2)
    kernels = tuple(np.fft.rfft2(kernel) for kernel in (near, near**2 * x, near**2 * y))
    return _Grid(side, width, kernels)
