"""A Postgres and a Redis of one's own, from the machine's packages: for the drill and the load run. Standard library only."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from server import free_port, until

OWNER = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root


def programs():
    """Where initdb is; none where Postgres is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(path) for path in [shutil.which("initdb")] if path]
    return found[-1].parent if found else None


class Postgres:
    def __init__(self):
        self.bin, self.port = programs(), free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="onsale-postgres-"))
        if OWNER:
            shutil.chown(self.folder, OWNER)
        self.run("initdb", "--auth=trust", "--username=onsale", f"--pgdata={self.folder / 'data'}")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self.run("pg_ctl", "start", "--wait", f"--pgdata={self.folder / 'data'}", f"--log={self.folder / 'log'}", "-o", options)
        self.environment = os.environ | {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "onsale", "PATH": f"{self.bin}:{os.environ['PATH']}"}
        self.run("createdb", "onsale")

    def run(self, program, *arguments):
        environment = getattr(self, "environment", os.environ)
        if program in ("createdb", "dropdb"):
            arguments = ("--host=127.0.0.1", f"--port={self.port}", "--username=onsale", *arguments)
        # pg_ctl's child keeps what it inherits open, so nothing is captured from it.
        done = subprocess.run([self.bin / program, *arguments], user=OWNER, cwd=self.folder, env=environment, check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert done.returncode == 0, (program, arguments)

    def url(self, database):
        return f"postgres://onsale@127.0.0.1:{self.port}/{database}"

    def ask(self, database, query):
        command = [self.bin / "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", query, database]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout.strip()

    def connections(self, database):
        """Clients of a database, but for this one."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        return int(self.ask(database, query))

    def stop(self):
        self.run("pg_ctl", "stop", "--mode=immediate", f"--pgdata={self.folder / 'data'}")
        shutil.rmtree(self.folder)


class Redis:
    def __init__(self):
        port = free_port()
        self.url, self.folder = f"redis://127.0.0.1:{port}", Path(tempfile.mkdtemp(prefix="onsale-redis-"))
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.folder]
        self.child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            except OSError:
                return False

        until(answers, "Redis does not answer")

    def stop(self):
        self.child.kill()
        self.child.wait()
        shutil.rmtree(self.folder)
