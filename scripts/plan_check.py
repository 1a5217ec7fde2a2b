"""Is a plan right? Each slice is calibrated on raw files, and run on 20 times as many: predicted and true CPU time.

    python scripts/plan_check.py [SLICE ...] [--times 20] [--data DIR] [--json]
    python scripts/plan_check.py --ratios     what real files are like, for slices/sources/catalogue.yaml

The raw files are the real ones of ``--data``, enlarged as for the benchmarks (``bench_inputs.py``): other names, and
other texts where dedup would take copies out. The run is that of ``rpj run --executor serial`` in a new process; all
that the process and those below it took is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import yaml
from bench_inputs import enlarge
from realdata import DEFAULT, raw_files, run_on, settings_of

from redpajama_data.config import RunConfig, slice_settings
from redpajama_data.engine.stages import RunSettings
from redpajama_data.io import storage
from redpajama_data.models.tokens import resolve_tokenizer
from redpajama_data.planning import measure
from redpajama_data.planning.calibration import Calibrated, Part, calibrate_slice, in_a_process
from redpajama_data.planning.sample import FILES
from redpajama_data.sample.common_crawl import model_paths
from slices import NAMES, load

SECONDS = 8.0  # to calibrate a slice: all of one unit
TOKENIZER = "gpt-neox-20b"


class Checked(NamedTuple):
    """A slice: seconds of the processor predicted and true (user and system), bytes and number of the raw files of the
    run, seconds that the calibration took."""

    slice: str
    predicted: float
    user: float
    system: float
    raw: int
    files: int
    calibration: float

    @property
    def off(self) -> float:
        """How far the prediction is from what the run took."""
        return self.predicted / (self.user + self.system) - 1


def settings_for(name: str, data: Path) -> dict[str, object]:
    """The settings of both runs: every copy of a site is taken, every file of the crawl is a shard."""
    more = {"stackexchange": {"largest_sites": 1 << 20}, "common_crawl": {"shards": 5000, "keep_tail": False}}
    return {**settings_of(name, data), **more.get(name, {})}


def calibrated(name: str, data: Path, files: list[Path], folder: Path, *, embedded: bool = False) -> Calibrated:
    """The costs of a slice by its raw files, as ``rpj plan`` takes them."""
    part = load(name)
    given = settings_for(name, data)
    if embedded and name == "common_crawl":
        models = model_paths()
        given |= {"lm_dir": os.path.dirname(models["en.arpa.bin"]), "classifier": models["wikiref.bin"]}
    settings = slice_settings(part.settings, name, RunConfig(), given, None)
    common = RunSettings(resolve_tokenizer(TOKENIZER), 1.0)
    raws = () if embedded else tuple(storage.stat(str(path)) for path in files)
    return in_a_process(calibrate_slice, (Part(part, settings, common, raws, name), str(folder), SECONDS))


def measured(given: tuple[str, Path, list[Path], Path]) -> tuple[float, float]:
    """User and system seconds of a run of a slice on files, and of all that it started: ``(name, data, files, root)``.

    For a process of its own (:func:`in_a_process`): all that the process took is counted, from its start."""
    name, data, files, root = given
    report = run_on(name, files, data, root, settings_for(name, data), executor="serial")
    if report.slices[0].quarantined:
        raise SystemExit(f"{name}: the run left something out: {report.slices[0].quarantined}")
    return measure.user_and_system()


def check(name: str, data: Path, times: int) -> Checked:
    """Calibrate on one unit of a slice, run on so many."""
    with tempfile.TemporaryDirectory(prefix="plan-check-") as scratch:
        folder = Path(scratch)
        real = raw_files(name, data)
        unit = enlarge(name, real, folder / "one", 1)
        found = calibrated(name, data, unit, folder)
        files = enlarge(name, real, folder / "many", times)
        first = found.cost.stages[0].tasks(len(files), 0)
        predicted = found.cost.start + found.cost.seconds(first, times * found.text)
        user, system = in_a_process(measured, (name, data, files, folder / "root"))
        return Checked(name, predicted, user, system, sum(p.stat().st_size for p in files), len(files), found.cpu)


def ratios(name: str, data: Path) -> dict[str, float]:
    """What real files are like, as the catalogue has it."""
    with tempfile.TemporaryDirectory(prefix="plan-check-") as scratch:
        folder = Path(scratch)
        files = [path for path in raw_files(name, data) if "udhr" not in path.name]
        real = calibrated(name, data, enlarge(name, files, folder / "one", 1), folder)
        ours = calibrated(name, data, [], folder / "like", embedded=True)
        byte = [each.cost.seconds(count, each.text) / each.text for each, count in ((real, len(files)), (ours, FILES))]
        kept = {key: getattr(real.cost, key) for key in ("text", "published", "records", "final", "steps")}
        like_ours = round(byte[0] / byte[1], 2)
        return {**{key: float(f"{value:.3g}") for key, value in kept.items()}, "likeness": like_ours}


def table(found: list[Checked]) -> str:
    """The comparison as a table of Markdown."""
    lines = ["| slice | raw files | MB | calibration s | predicted s | run s | off |", "|---|---|---|---|---|---|---|"]
    for c in found:
        true = c.user + c.system
        sizes = f"{c.files} | {c.raw / 1e6:,.0f}"
        lines.append(f"| {c.slice} | {sizes} | {c.calibration:.1f} | {c.predicted:.1f} | {true:.1f} | {c.off:+.0%} |")
    return "\n".join(lines)


def main() -> None:
    """Check and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slices", nargs="*", default=NAMES)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--data", type=Path, default=DEFAULT)
    parser.add_argument("--ratios", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if not chosen.data.is_dir():
        raise SystemExit(
            f"{chosen.data}: no such folder. Give --data: real raw files, as scripts/realdata.py has them."
        )
    if chosen.ratios:
        print(yaml.safe_dump({name: ratios(name, chosen.data) for name in chosen.slices}, sort_keys=False))
        return
    found = [check(name, chosen.data, chosen.times) for name in chosen.slices]
    print(json.dumps([one._asdict() for one in found]) if chosen.json else table(found))


if __name__ == "__main__":
    main()
