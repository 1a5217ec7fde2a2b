"""How far the plan of a slice is: what is here, what is still to come, and what that takes of disk, time and money."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import Any

import msgspec

from redpajama_data.download import accepted
from redpajama_data.download import plan as plans
from redpajama_data.download.accepted import Accepted
from redpajama_data.download.plan import Plan
from redpajama_data.download.present import Survey, survey
from redpajama_data.download.receipts import PutAside, load_quarantine
from redpajama_data.io import storage


@dataclass(frozen=True)
class Stand:
    """A plan and what of it is here. ``aside`` are the files that could not be had, by path, ``accepted``
    the licences that the user accepted for it."""

    plan: Plan
    here: Survey
    aside: dict[str, PutAside]
    accepted: list[Accepted] = field(default_factory=list)

    def complete(self) -> bool:
        """True when every file is here and known, and nothing that was asked for is to be had nowhere."""
        return not self.here.missing and not self.here.to_check and not self.plan.absent

    def to_come(self, most: int | None = None) -> int:
        """Bytes still to come, those of files without a size as they were reckoned; with ``most``, of one run."""
        if not self.here.missing:
            return 0
        share = self.here.unsized / self.plan.unsized if self.plan.unsized else 1
        bytes_ = self.here.missing_bytes + int(self.plan.reckoned * share)
        return bytes_ if most is None else min(most, bytes_)

    def usd(self, most: int | None = None) -> float:
        """Dollars that what is missing costs, cents rounded up; with ``most`` bytes in one run, at most so much of it.
        A plan without files yet costs what it takes to make them."""
        if self.plan.cost is None:
            return 0.0
        if not self.plan.files or not self.here.paid:
            return self.plan.cost.usd
        paid = self.here.missing_paid if most is None else min(most, self.here.missing_paid)
        return -int(-self.plan.cost.usd * 100 * paid // self.here.paid) / 100

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **msgspec.to_builtins(self.plan),
            "here": {"files": self.here.files, "bytes": self.here.bytes},
            "missing": {"files": self.here.missing, "bytes": self.to_come(), "unsized": self.here.unsized},
            "to_check": self.here.to_check,
            "usd": self.usd(),
            "accepted": msgspec.to_builtins(self.accepted),
            "put_aside": {path: each.reason for path, each in self.aside.items()},
        }


def stand_of(plan: Plan, to: str, *, listed: str | None = None) -> Stand:
    """How far a plan is below ``to``. ``listed`` is where the plan is kept, when that is not ``to``."""
    return Stand(plan, survey(plan, to, listed=listed), load_quarantine(to, plan.slice), accepted.load(to, plan.slice))


def stands_of(place: str) -> list[Stand]:
    """The plans in the folders of ``place``, by name; none when nothing was fetched there."""
    if storage.is_remote(place) or not os.path.isdir(storage.local(place)):
        return []
    found = (plans.load(place, name) for name in sorted(os.listdir(storage.local(place))))
    return [stand_of(plan, place) for plan in found if plan is not None]


def free_bytes(to: str) -> int:
    """The free bytes of the disk that ``to`` is on, or will be."""
    place = os.path.abspath(storage.local(to))
    while not os.path.exists(place):
        place = os.path.dirname(place)
    return shutil.disk_usage(place).free
