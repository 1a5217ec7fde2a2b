"""Where an address may lead, and what of it is shown: no redirect gives up encryption, no secret is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hostile_server import Behaviour, FakeClock, HostileServer
from trial import client_for, content_of

from redpajama_data.download import plan
from redpajama_data.download.exchange import Passing, shown
from redpajama_data.download.fetch import FetchReport, Options, fetch_async
from redpajama_data.download.plan import Listing, Wanted

BODY = content_of(3, 50_000)


@pytest.mark.parametrize(
    ("address", "as_shown"),
    [
        ("https://me:pw@host/a", "https://host/a"),
        ("https://me@host/a?b=1", "https://host/a?b=1"),
        ("https://host/a@b?c=d@e", "https://host/a@b?c=d@e"),
        ("https://host/a?alt=media&generation=3", "https://host/a?alt=media&generation=3"),
        ("https://host/a?X-Amz-Signature=ab&X-Amz-Date=1", "https://host/a?X-Amz-Signature=...&X-Amz-Date=1"),
        ("https://host/a?b=1&access_token=xy#top", "https://host/a?b=1&access_token=...#top"),
        ("no answer from 'https://me:pw@host/a?key=1': 'x'", "no answer from 'https://host/a?key=...': 'x'"),
    ],
)
def test_an_address_is_shown_without_what_grants_access(address: str, as_shown: str) -> None:
    assert shown(address) == as_shown
    assert str(Passing(address)) == as_shown


@pytest.mark.parametrize(
    ("query", "behaviours", "exit_code"),
    [
        ("", [Behaviour(BODY, cut_after=9_000), Behaviour(BODY)], 0),
        ("", [Behaviour(BODY, status=404)], 3),
        ("?ticket=0", [Behaviour(BODY)], 0),
        ("?ticket=0", [Behaviour(BODY, cut_after=9_000)], 3),  # refused from then on
    ],
)
def test_secrets_of_an_address_reach_the_host_alone(
    tmp_path: Path, query: str, behaviours: list[Behaviour], exit_code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    server = HostileServer(FakeClock())

    async def work() -> FetchReport:
        async with server.running():
            server.in_turn("x.bin", *behaviours)
            url = server.base.replace("//", "//someone:hunter2@") + "/x.bin" + query
            head = plan.save(str(tmp_path), "toy", Listing("v", [Wanted("x.bin", url)]), {})
            client = client_for(server)
            try:
                return await fetch_async(head, str(tmp_path), Options(), client)
            finally:
                await client.close()

    report = asyncio.run(work())
    assert report.exit_code == exit_code
    kept = [path for path in tmp_path.rglob("*.json*") if path.name != "files.jsonl"]
    said = "".join(path.read_text() for path in kept) + str(report) + "".join(capfd.readouterr())
    assert "127.0.0.1" in said
    assert "hunter2" not in said
    assert "ticket=0" not in said
    assert {request.headers.get("Authorization") for request in server.log} == {"Basic c29tZW9uZTpodW50ZXIy"}
