"""Ray as a run starts it: nobody beyond this machine can reach it, nobody else on it reads along."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
LOOK = """
import os, stat
from redpajama_data.engine.ray_workers import RayExecutor

def listening():  # sockets by inode, and their addresses in hexadecimal
    for name in ("tcp", "tcp6"):
        for line in open(f"/proc/net/{name}").read().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                yield fields[9], fields[1].partition(":")[0]

def started(process):  # with a folder of this run's on its command line, or in its environment
    try:
        said = open(f"/proc/{process}/cmdline", "rb").read() + open(f"/proc/{process}/environ", "rb").read()
        return folder.encode() in said or process == str(os.getpid())
    except OSError:
        return False

executor = RayExecutor(None, 1)
folder = executor._folder
addresses, found = dict(listening()), set()
for process in filter(str.isdigit, os.listdir("/proc")):
    if started(process):
        for number in os.listdir(f"/proc/{process}/fd"):
            try:
                target = os.readlink(f"/proc/{process}/fd/{number}")
            except OSError:
                continue
            found |= {addresses[target[8:-1]]} if target[:8] == "socket:[" and target[8:-1] in addresses else set()
print(" ".join(sorted(found)), oct(stat.S_IMODE(os.stat(folder).st_mode)), os.path.exists(f"{folder}/r/session_latest"))
executor.close()
print(os.path.exists(folder))
"""


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not there")
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="sockets are looked up in /proc")
def test_ray_listens_on_loopback_in_a_folder_of_its_own() -> None:
    environment = {**os.environ, "PYTHONPATH": str(TOP), "TMPDIR": "/tmp"}
    done = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    found, gone = done.stdout.splitlines()
    *addresses, mode, used = found.split()
    assert set(addresses) <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert addresses
    assert (mode, used, gone) == ("0o700", "True", "False")
