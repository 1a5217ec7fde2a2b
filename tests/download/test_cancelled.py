"""A run that is ended while a thread writes: what is written is noted, however often the tasks are cancelled."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from hostile_server import Behaviour, FakeClock, HostileServer
from trial import client_for, content_of

from redpajama_data.download import plan
from redpajama_data.download.fetch import Options, fetch_async
from redpajama_data.download.parts import Part
from redpajama_data.download.plan import Listing, Wanted

_BODY = content_of(1, 5 << 20)
_PIECE = 2 << 20


@pytest.mark.parametrize("cancelled", [1, 2, 5])
def test_what_a_thread_writes_is_kept_however_often_the_run_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cancelled: int
) -> None:
    writing, go_on = threading.Event(), threading.Event()
    write = Part.write

    def held(part: Part, data: memoryview) -> None:
        writing.set()
        go_on.wait()
        write(part, data)

    monkeypatch.setattr(Part, "write", held)
    # The second file waits for its first byte, and ends at once: the run must wait for the first one all the same.
    names = ["x.bin", "y.bin"]

    async def work() -> None:
        server = HostileServer(FakeClock())
        async with server.running():
            server.always("x.bin", Behaviour(_BODY))
            server.always("y.bin", Behaviour(_BODY, stall_after=0))
            files = [Wanted(name, f"https://origin.test/{name}", len(_BODY)) for name in names]
            client = client_for(server)
            head = plan.save(str(tmp_path), "toy", Listing("v", files), {})
            run = asyncio.ensure_future(fetch_async(head, str(tmp_path), Options(quiet=True), client))
            await asyncio.to_thread(writing.wait)
            others = asyncio.all_tasks() - {asyncio.current_task(), run}
            for number in range(cancelled):
                for task in [run] if number % 2 == 0 else [run, *others]:
                    task.cancel()
                for _ in range(5):  # let all that may end now end
                    await asyncio.sleep(0)
            assert not run.done()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await run
            await client.close()

    asyncio.run(work())
    part = (tmp_path / "toy" / "x.bin.part").read_bytes()
    assert len(part) >= _PIECE
    assert part == _BODY[: len(part)]
    assert (tmp_path / "toy" / "_download" / "parts" / "x.bin.json").exists()
