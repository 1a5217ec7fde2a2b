"""Two reproductions held against each other by their manifests: what differs, and what may explain it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from redpajama_data.engine import environment
from redpajama_data.reports.manifest import Manifest, Named, Part, Shard


@dataclass(frozen=True)
class Difference:
    """One difference between two manifests: of what, and what each says.

    ``explains`` marks what may be the reason of others but is none itself: with equal shards and sums, another version
    of the tool has reproduced the corpus all the same.
    """

    what: str
    mine: str
    theirs: str
    explains: bool = False

    def sentence(self) -> str:
        """``what: mine; there theirs``."""
        return f"{self.what}: {self.mine}; there {self.theirs}"


def compare(mine: Manifest, theirs: Manifest) -> list[Difference]:
    """The differences, in the order in which to look at them: what the runs were made with (version, models,
    tokenizers, Unicode tables, libraries, settings), then the sums of the stages from the first on, then the shards.

    The lineage of shards is not compared: it hangs on how the raw files were named.
    """
    return [*_tools(mine, theirs), *_parts(mine, theirs), *_shards(mine.shards, theirs.shards)]


def reproduced(differences: Sequence[Difference]) -> bool:
    """True when no difference is more than an explanation."""
    return all(difference.explains for difference in differences)


def render(differences: Sequence[Difference], shards: int) -> str:
    """The outcome for a terminal: the first difference, what may explain it, how many more there are.

    ``shards`` is how many the manifest at hand has.
    """
    explanations = [difference for difference in differences if difference.explains]
    real = [difference for difference in differences if not difference.explains]
    lines = [f"The same: {shards:,} shards and the sums of every stage are equal."]
    if real:
        lines = [f"first difference: {real[0].sentence()}"]
        lines += [f"and {len(real) - 1:,} more"] if len(real) > 1 else []
    lines += [f"{'may explain it' if real else 'made with'}: {each.sentence()}" for each in explanations]
    if real and not explanations and not real[0].mine.startswith("was "):
        lines.append("version, models, tokenizers, libraries and settings are equal: look at the raw files")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------ what made them


def _tools(mine: Manifest, theirs: Manifest) -> Iterator[Difference]:
    if (mine.version, mine.engine) != (theirs.version, theirs.engine):
        yield Difference(
            "version of rpj",
            f"{mine.version}, engine {mine.engine}",
            f"{theirs.version}, engine {theirs.engine}",
            explains=True,
        )
    yield from _named("model", mine.models, theirs.models)
    yield from _named("tokenizer", mine.tokenizers, theirs.tokenizers)
    for what, here, there in environment.differences(mine.environments, theirs.environments):
        if what != "rpj":
            yield Difference(what, here, there, explains=True)


def _named(what: str, mine: Sequence[Named], theirs: Sequence[Named]) -> Iterator[Difference]:
    """By content first: a file that has another name and the same SHA-256 is the same."""
    same = {named.sha256 for named in mine} & {named.sha256 for named in theirs}
    ours = [named for named in mine if named.sha256 not in same]
    others = [named for named in theirs if named.sha256 not in same]
    for name in sorted({named.name for named in (*ours, *others)}):
        yield Difference(f"{what} {name}", _hashes(ours, name), _hashes(others, name), explains=True)


def _hashes(among: Sequence[Named], name: str) -> str:
    return ", ".join(f"sha256:{named.sha256[:16]}" for named in among if named.name == name) or "none of that name"


# ------------------------------------------------------------------------------------------------ slices


def _parts(mine: Manifest, theirs: Manifest) -> Iterator[Difference]:
    ours, others = ({part.slice: part for part in manifest.slices} for manifest in (mine, theirs))
    for name in dict.fromkeys((*ours, *others)):
        if name not in ours or name not in others:
            yield Difference(
                name, "was run" if name in ours else "was not run", "was run" if name in others else "was not run"
            )
    common = [(ours[name], others[name]) for name in ours if name in others]
    for part, other in common:
        yield from _made_with(part, other)
    for part, other in common:
        yield from _sums(part, other)


def _made_with(mine: Part, theirs: Part) -> Iterator[Difference]:
    if mine.revision != theirs.revision:
        yield Difference(f"{mine.slice}: revision", str(mine.revision), str(theirs.revision), explains=True)
    if mine.inputs != theirs.inputs:
        yield Difference(f"{mine.slice}: raw files", f"{mine.inputs:,}", f"{theirs.inputs:,}", explains=True)
    for key in sorted({*mine.settings, *theirs.settings}):
        values = [repr(part.settings.get(key)) for part in (mine, theirs)]
        if values[0] != values[1]:
            yield Difference(f"{mine.slice}: setting {key}", values[0], values[1], explains=True)


def _sums(mine: Part, theirs: Part) -> Iterator[Difference]:
    for what in ("quarantined", "broken"):
        counts = [getattr(part, what) for part in (mine, theirs)]
        if counts[0] != counts[1]:
            yield Difference(f"{mine.slice}: tasks {what}", f"{counts[0]:,}", f"{counts[1]:,}")
    for stage, other in zip_longest(mine.stages, theirs.stages):
        if stage is None or other is None or stage.stage != other.stage:
            names = [sums.stage if sums else "none" for sums in (stage, other)]
            yield Difference(f"{mine.slice}: stages", names[0], names[1])
            return
        place = f"{mine.slice}: {stage.stage}"
        for what in ("read", "kept"):
            counts = [getattr(sums, what) for sums in (stage, other)]
            if counts[0] != counts[1]:
                yield Difference(f"{place}: documents {what}", f"{counts[0]:,}", f"{counts[1]:,}")
        for rule in sorted({*stage.dropped, *other.dropped}):
            counts = [sums.dropped.get(rule, 0) for sums in (stage, other)]
            if counts[0] != counts[1]:
                yield Difference(f"{place}: dropped by {rule}", f"{counts[0]:,}", f"{counts[1]:,}")


# ------------------------------------------------------------------------------------------------ shards


def _shards(mine: Sequence[Shard], theirs: Sequence[Shard]) -> Iterator[Difference]:
    ours, others = ({shard.path: shard for shard in shards} for shards in (mine, theirs))
    here, there = ({shard.sha256: shard.path for shard in shards} for shards in (mine, theirs))
    for path in sorted({*ours, *others}):
        shard, other = ours.get(path), others.get(path)
        if shard is None or other is None or shard.sha256 != other.sha256:
            yield Difference(path, _says(shard, other, here), _says(other, shard, there))
        elif shard.tokens != other.tokens and shard.tokenizer == other.tokenizer:
            yield Difference(f"{path}: tokens", f"{shard.tokens:,}", f"{other.tokens:,}")


def _says(shard: Shard | None, other: Shard | None, by_content: dict[str, str]) -> str:
    if shard is not None:
        return f"{shard.documents:,} documents, {shard.tokens:,} tokens, sha256:{shard.sha256[:16]}"
    elsewhere = by_content.get(other.sha256) if other else None
    return f"not there (the same bytes are {elsewhere})" if elsewhere else "not there"
