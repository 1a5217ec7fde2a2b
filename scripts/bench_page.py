"""What the benchmarks found, as rows of tables, and BENCHMARKS.md made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench_runs import Numbers

Row = tuple[str, ...]

HEAD: Row = ("", "rate", "times", "held against", "plain loop", "2 workers", "peak")
INSIDE: Row = ("in place of", "theirs", "ours", "times")
PUBLIC: Row = ("", "in place of", "theirs", "ours", "times", "peak, theirs and ours", "kept, theirs and ours")


def times(value: Numbers, unit: str = " x") -> str:
    """A median with the least and the greatest."""
    return f"{value['median']:.2f}{unit} ({value['min']:.2f} to {value['max']:.2f})"


def main_rows(subjects: Numbers) -> Iterator[Row]:
    """A row a slice or job: rate of one worker, its ratio to what it is held against, CPU time in plain loops, speed-up
    of two workers, peak memory. Without pairs there is none."""
    for name, found in subjects.items():
        if pairs := found.get("pairs"):
            yield (
                name,
                f"{pairs['rate']['median']:,.1f} {pairs['unit']}/s",
                f"{pairs['times_against']['median']:.1f} x" if pairs["times_against"] else "",
                pairs["against"],
                times(pairs["times_floor"]),
                times(found["workers"]["speed_up"]),
                f"{pairs['peak'] / 1e6:.0f} MB",
            )


def growth_rows(subjects: Numbers) -> Iterator[Row]:
    """The head, and a row a slice or job: CPU seconds and peak memory at each size, and what both grow by."""
    for i, (name, found) in enumerate(subjects.items()):
        if steps := found.get("growth"):
            if not i:
                yield ("", *(f"{step['units']} x" for step in steps), "CPU time grows", "memory grows")
            cells = [f"{step['cpu']:.1f} s, {step['peak'] / 1e6:.0f} MB" for step in steps]
            first, last = steps[0], steps[-1]
            grown = (f"{last['cpu'] / first['cpu']:.1f} x", f"{last['peak'] / first['peak']:.2f} x")
            yield (name, *cells, *grown)


def inside_rows(subjects: Numbers) -> Iterator[Row]:
    """A row a package that does the same work, called in the same process."""
    for found in subjects.values():
        for pair in found.get("peers", []):
            rates = (f"{pair[side]['median']:.1f} MB/s" for side in ("their_rate", "our_rate"))
            yield (pair["pair"], *rates, times(pair["times"]))


def public_rows(rows: Iterable[Numbers]) -> Iterator[Row]:
    """A row a work and peer of bench_public.py."""
    for row in rows:
        yield (
            row["work"],
            row["peer"],
            *(f"{row[side]['median']:.1f} MB/s" for side in ("their_rate", "our_rate")),
            times(row["times"]) + ("" if row["times"]["median"] >= 1 else ": theirs wins"),
            " and ".join(f"{peak:.0f} MB" for peak in row["peaks"]),
            " and ".join(f"{kept:,}" for kept in row["kept"]),
        )


def plain(head: Row, rows: Iterable[Row]) -> str:
    """A table for a terminal."""
    every = [head, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in every)


def _markdown(*rows: Row) -> str:
    lines = [rows[0], ("---",) * len(rows[0]), *rows[1:]] if rows else []
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(results: Numbers) -> str:
    """BENCHMARKS.md of one run."""
    made, subjects = results["machine"], results["subjects"]
    loads = " to ".join(f"{load:.1f}" for load in results["load"])
    return f"""# Benchmarks

One run of `make bench` on {results["date"]}, revision {results["revision"]}: {made["cores"]} cores of {made["cpu"]},
{made["memory"] / 1e9:.0f} GB, Python {made["python"]}. The load of the machine was {loads}.
The numbers of each run are in `build/benchmarks.json`. What was tried and left out is in
[figures](redpajama_data/docs/figures.md).

Every number is a median; the lowest and the highest stand in brackets. Two things that are compared ran in turn.
CPU time is counted, from the start of the process to its end, so a busy machine changes little. A MB is 10**6 bytes of
text.

## Slices and jobs

One worker on real input. The rate counts tokens too. The plain loop decompresses, parses, writes JSON and compresses
the same data, and does nothing else. The last column but one is wall time: one worker by two.

{_markdown(HEAD, *main_rows(subjects))}

## Growth

CPU time and peak memory of the process on 1, 4 and 16 times the input. Jobs ran with `--memory 64M`.

{_markdown(*growth_rows(subjects))}

## Parts, against the packages that do the same

In one process, on the same texts.

{_markdown(INSIDE, *inside_rows(subjects))}

## Against what people would use instead

The same input and the same work, each in an environment of its own: `scripts/bench_public.py` says how.

{_markdown(PUBLIC, *public_rows(results["public"]))}
"""
