"""The real command, ended by real signals at random points, against a server that fails.

The property: after every signal a file that is there equals the origin's; the next run asks for the rest of what came
before and not for all of it again; in the end every file is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sys
from pathlib import Path

from hostile_server import Behaviour, HostileServer, RealClock, then
from trial import content_of

from redpajama_data.download import plan
from redpajama_data.download.plan import Listing, Wanted
from redpajama_data.download.receipts import Receipt, verify

REPOSITORY = Path(__file__).resolve().parents[2]
_COMMAND = [sys.executable, "-m", "redpajama_data", "download", "c4", "--quiet", "--connections", "2", "--to"]
_FILES, _SIZE, _PIECE = 8, 3_000_000, 1 << 17


def problems_of(seed: int, folder: Path, ends: int) -> tuple[list[str], int]:
    """End so many runs, then let one come to its end; what is wrong, and how many files went on where they were."""
    chance = random.Random(seed)
    bodies = {f"c4-train.{i:05d}.json.gz": content_of(seed + i, _SIZE + i) for i in range(_FILES)}
    wanted = [
        Wanted(name, f"https://huggingface.co/{name}", len(body) if i % 2 else None, _hash(body) if i % 3 else {})
        for i, (name, body) in enumerate(bodies.items())
    ]
    plan.save(str(folder), "c4", Listing("v", wanted), {})
    problems: list[str] = []
    went_on = 0

    async def all_runs() -> None:
        nonlocal went_on
        server = HostileServer(RealClock())
        async with server.running():
            for name, body in bodies.items():
                good = Behaviour(body, piece=_PIECE)
                cut = then(good, cut_after=chance.randrange(_SIZE))
                server.in_turn(name, *(chance.choice([good, cut, then(good, status=502)]) for _ in range(ends)), good)
            for number in range(ends + 1):
                parts = _parts(folder)
                begun = len(server.log)
                kinds = [signal.SIGKILL, signal.SIGTERM] if number else [signal.SIGTERM]
                how = chance.choice(kinds) if number < ends else None
                status, said = await _run(server, folder, how, chance, with_parts=number % 2 == 0)
                asked: dict[str, str] = {}
                for request in server.log[begun:]:
                    asked.setdefault(request.path, request.headers.get("Range", ""))
                for name in parts.keys() & asked.keys():
                    went_on += 1
                    if asked[name] != f"bytes={parts[name]}-":
                        problems.append(f"run {number}: {name} had {parts[name]} bytes, and {asked[name]!r} was asked")
                for name, body in bodies.items():
                    path = folder / "c4" / name
                    if path.exists() and path.read_bytes() != body:
                        problems.append(f"run {number}: {name} is there and is not the origin's")
                expected = {None: (0,), signal.SIGKILL: (-9, 0, 3), signal.SIGTERM: (143, 0, 3)}[how]
                if status not in expected:
                    problems.append(f"run {number}: exit status {status} after {how}: {said}")

    asyncio.run(all_runs())
    sound = [each for each in verify(str(folder), "c4") if isinstance(each, Receipt)]
    if len(sound) != _FILES or _parts(folder):
        problems.append(f"{len(sound)} files of {_FILES} are there in the end, and parts of {list(_parts(folder))}")
    return [f"seed {seed}: {problem}" for problem in problems], went_on


async def _run(
    server: HostileServer, folder: Path, how: signal.Signals | None, chance: random.Random, *, with_parts: bool
) -> tuple[int, str]:
    """One run, ended when the server has sent so many bytes, the first of its answers at the earliest; ``with_parts``:
    not before some of them lie in an unfinished file. What was sent may be in the buffers of the connection alone."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "RPJ_ADDRESS_HUGGINGFACE_CO": server.base}
    child = await asyncio.create_subprocess_exec(
        *_COMMAND,
        str(folder),
        env=environment,
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    left = [chance.randrange(_SIZE // 2, _FILES * _SIZE // 3)]

    def sent(count: int) -> None:
        left[0] -= count
        if left[0] < 0 and how is not None and child.returncode is None and (_parts(folder) or not with_parts):
            child.send_signal(how)
            left[0] = 1 << 60

    server.sent = sent
    _, error = await child.communicate()
    return child.returncode or 0, error.decode()[-500:]


def _parts(folder: Path) -> dict[str, int]:
    """The bytes of what is unfinished and may be gone on with."""
    records = folder / "c4" / "_download" / "parts"
    parts = {path.name.removesuffix(".part"): path.stat().st_size for path in (folder / "c4").glob("*.part")}
    return {name: size for name, size in parts.items() if size and (records / f"{name}.json").exists()}


def _hash(body: bytes) -> dict[str, str]:
    return {"sha256": hashlib.sha256(body).hexdigest()}
