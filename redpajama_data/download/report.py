"""What a run of a download may take, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

ENOUGH = "--max-bytes is reached"


@dataclass(frozen=True)
class Options:
    """Limits of a run: ``rate`` in bytes a second over everything; ``max_bytes`` to fetch, which no file is begun
    beyond; ``hours`` of the local clock as ``22-06``."""

    rate: float | None = None
    max_bytes: int | None = None
    hours: str = ""
    quiet: bool = False


@dataclass
class FetchReport:
    """What a run did. ``here`` files were here already, ``put_aside`` ones failed (by path: why), ``left`` ones were
    not tried, for the reasons in ``why_left``."""

    slice: str
    files: int
    here: int = 0
    fetched: int = 0
    bytes: int = 0  # that came over the network
    put_aside: dict[str, str] = field(default_factory=dict)
    left: int = 0
    why_left: set[str] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """True when every file of the plan is here."""
        return self.here + self.fetched == self.files

    @property
    def exit_code(self) -> int:
        """3 when files were put aside or their host was not asked any more, else 0; a limit that was set is no
        failure."""
        return 3 if self.put_aside or self.why_left - {ENOUGH} else 0
