"""A disk that is really full: what writes is refused or unknown, reads go on, and when there is room again the sale goes on by
itself, with everything that was acknowledged. The data lies on a small file system of its own, which takes the right to mount.

Usage: full_disk.py ONSALE_BINARY
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from server import Server, until  # noqa: E402


def fill(path):
    with open(path, "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"x" * 65536)
        except OSError:
            pass


def main(binary):
    folder = Path(tempfile.mkdtemp(prefix="onsale-full-"))
    data = folder / "data"
    data.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs", data], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        shutil.rmtree(folder)
        return print(f"a full disk was not tried: {mounted.stderr.strip()}")
    server = None
    try:
        server = Server(binary, folder=folder)
        event = server.event(60, 50)
        fill(data / "ballast")
        answers, held = Counter(), []
        # The commit log has some room, and takes facts until it is noticed that they cannot be filed.
        end = time.monotonic() + 30
        while answers[503] < 5 and time.monotonic() < end:
            bearer, status, answer = server.hold(event)
            answers[status] += 1
            held += [(bearer, answer)] if status == 201 else []
        assert answers[503] >= 5 and set(answers) <= {201, 503, 504}, answers
        assert server.probe("/health/ready") == 200 and server.call("GET", f"/events/{event}")[0] == 200, "reads go on"
        (data / "ballast").unlink()
        freed = time.monotonic()
        until(lambda: server.hold(event)[1] == 201, "it does not sell on")
        recovered = time.monotonic() - freed
        for bearer, answer in held:
            status, told = server.call("GET", f"/reservations/{answer['reservationId']}", bearer=bearer)
            assert (status, told) == (200, answer), (status, told, answer)
        server.stop()
        verified = subprocess.run([binary, "verify", data], capture_output=True, text=True, check=False)
        assert verified.returncode == 0, verified.stdout
        print(f"a full disk: {answers[201]} holds acknowledged before it, {answers[503]} refused, {answers[504]} unknown; "
              f"with room again it sold on after {recovered:.2f} s, nothing lost, verified")
    finally:
        if server:
            server.child.kill()
            server.child.wait()
        subprocess.run(["umount", "-l", data], check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
