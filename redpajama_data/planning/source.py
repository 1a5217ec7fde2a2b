"""The whole source of a slice in figures, each with where it is from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Sure = Literal["stated", "measured", "reckoned"]
"""How a figure is known: its owner or a user states it, it was measured here, or it follows from others that were."""


class Figure(BaseModel):
    """A number and its origin, in a sentence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float = Field(ge=0)
    origin: str = Field(min_length=1)
    sure: Sure = "stated"


class Ratios(BaseModel):
    """What real raw files are like, for each byte of the texts in them, where the sample is the embedded one: bytes
    ``published``, ``records``, bytes on the disk of shards (``final``) and of other files (``steps``); ``text`` bytes
    in a byte of the raw files; and how many times the processor time of a byte of the sample a real one takes
    (``likeness``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: float = Field(gt=0)
    published: float = Field(gt=0)
    records: float = Field(gt=0)
    final: float = Field(gt=0)
    steps: float = Field(ge=0)
    likeness: float = Field(gt=0)
    origin: str


class Source(BaseModel):
    """The whole source: bytes and files to fetch, and the bytes of text in it (None: by the ratio to the raw bytes).
    ``tasks`` are those of the slice's first stage (None: one a file), ``largest`` is the share of the text that is in
    the largest of them. ``host`` is who is asked for the files, ``host_rate`` the bytes a second it gives;
    ``usd`` is what fetching costs, ``usd_per_gb`` for each GB."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: str
    raw: Figure
    files: Figure
    text: Figure | None = None
    tasks: float | None = None
    largest: Figure | None = None
    host: str = ""
    host_rate: Figure | None = None
    usd: Figure | None = None
    usd_per_gb: Figure | None = None
    ratios: Ratios
    notes: list[str] = Field(default_factory=list)

    def figures(self) -> dict[str, Figure]:
        """Every figure by its name, for those who ask where it is from."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: figure for name, figure in named.items() if isinstance(figure, Figure)}
