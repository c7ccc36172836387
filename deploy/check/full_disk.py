"""A disk that is really full: what writes is refused or unknown, reads go on, and when there is room again the sale goes on by
itself, with everything that was acknowledged. A server that is killed and started while it is full takes its reserve, recovers and
says so; the reserve is there again when there is room. The data lies on a small file system of its own: mounted by root, or by who
runs this in a name space of its own. Where neither is allowed this fails; it never passes without a full disk.

Usage: full_disk.py ONSALE_BINARY
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from server import Server, until  # noqa: E402

# Set where this has been started again in a name space in which it may mount.
INSIDE = "ONSALE_CHECK_MAY_MOUNT"
# More than four reserves, so that one is made.
SIZE = "192m"


def fill(path):
    with open(path, "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"x" * 65536)
        except OSError:
            pass


def mount(data):
    """Mounts, or starts this again where it may; ends with a failure where neither is possible."""
    options = ["-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", data]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if mounted.returncode == 0:
        return
    shutil.rmtree(data.parent)
    if shutil.which("unshare") and INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--mount", sys.executable, *sys.argv])
    sys.exit(f"a full disk cannot be tried here: {mounted.stderr.strip()}")


def degraded(server):
    with urllib.request.urlopen(f"{server.base}/health/ready", timeout=5) as answer:
        return json.load(answer)["degraded"]


def refused_and_recovered(server, event, data):
    """Fills the disk, is refused, makes room; answers what was answered meanwhile, and the holds that were acknowledged."""
    fill(data / "ballast")
    answers, held = Counter(), []
    # The commit log has some room, and takes facts until it is noticed that they cannot be checkpointed.
    end = time.monotonic() + 60
    while answers[503] < 5 and time.monotonic() < end:
        bearer, status, answer = server.hold(event)
        answers[status] += 1
        held += [(bearer, answer)] if status == 201 else []
        fill(data / "more ballast")
    assert answers[503] >= 5 and set(answers) <= {201, 503, 504}, answers
    assert server.probe("/health/ready") == 200 and server.call("GET", f"/events/{event}")[0] == 200, "reads go on"
    return answers, held


def make_room(data):
    for ballast in data.glob("*ballast"):
        ballast.unlink()


def all_there(server, held):
    assert held, "nothing was acknowledged, so nothing could be lost"
    for bearer, answer in held:
        status, told = server.call("GET", f"/reservations/{answer['reservationId']}", bearer=bearer)
        assert (status, told) == (200, answer), (status, told, answer)


def main(binary):
    folder = Path(tempfile.mkdtemp(prefix="onsale-full-"))
    data, reserve = folder / "data", folder / "data" / "journal.reserve"
    data.mkdir()
    mount(data)
    server = None
    try:
        server = Server(binary, folder=folder)
        event = server.event(60, 50)
        assert reserve.stat().st_blocks * 512 >= reserve.stat().st_size > 0, "there is no reserve"
        held = [(bearer, answer) for bearer, status, answer in (server.hold(event) for _ in range(20)) if status == 201]
        answers, more = refused_and_recovered(server, event, data)
        held += more
        make_room(data)
        freed = time.monotonic()
        until(lambda: server.hold(event)[1] == 201, "it does not sell on")
        recovered = time.monotonic() - freed
        all_there(server, held)
        print(f"a full disk: {answers[201]} holds acknowledged while it filled, {answers[503]} refused, {answers[504]} unknown; "
              f"with room again it sold on after {recovered:.2f} s, nothing lost")

        _, more = refused_and_recovered(server, event, data)
        held += more
        server.child.kill()
        server.child.wait()
        fill(data / "last ballast")
        again = time.monotonic()
        server = Server(binary, folder=folder)
        started = time.monotonic() - again
        assert not reserve.exists() and "STORAGE_RESERVE" in degraded(server), degraded(server)
        all_there(server, held)
        make_room(data)
        until(lambda: server.hold(event)[1] == 201 and "STORAGE_RESERVE" not in degraded(server), "it makes no reserve again")
        assert reserve.exists()
        all_there(server, held)
        server.stop()
        verified = subprocess.run([binary, "verify", data], capture_output=True, text=True, check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        print(f"killed and started while the disk was full: ready after {started:.2f} s from its reserve, {len(held)} holds there, "
              "a reserve again when there was room, verified")
    finally:
        if server:
            server.child.kill()
            server.child.wait()
        subprocess.run(["umount", "-l", data], check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
