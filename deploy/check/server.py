"""A real server, and a small crowd that counts what it sends. Standard library only."""

import base64
import hashlib
import hmac
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SECRET = "a secret of these checks, never of a real server"
PATIENCE = 120


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(is_so, words):
    end = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(words)
        time.sleep(0.02)


class Server:
    """`onsale` with embedded storage, its logs in files, embedded metrics every second."""

    def __init__(self, binary, folder=None, **settings):
        self.folder = folder or Path(tempfile.mkdtemp(prefix="onsale-check-"))
        self.base = f"http://127.0.0.1:{free_port()}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ONSALE")}
        environment |= {
            "ONSALE__SERVER__LISTEN": self.base.removeprefix("http://"),
            "ONSALE__SERVER__REQUEST_TIMEOUT_MS": "500",
            "ONSALE__STORAGE__PATH": str(self.folder / "data"),
            "ONSALE__AUTH__JWT_SECRET": SECRET,
            "ONSALE__RATE_LIMIT__ENABLED": "false",
            "ONSALE__LOG__DIRECTORY": str(self.folder / "log"),
            "ONSALE__LOG__ACCESS_ONE_IN": "1",
            "ONSALE__METRICS__CLOUDWATCH": "emf",
            "ONSALE__METRICS__INTERVAL_S": "1",
        } | settings
        self.child = subprocess.Popen([binary], env=environment, cwd=self.folder, stderr=subprocess.DEVNULL)
        self.sent, self.slowest = Counter(), 0
        self.admin = token("ADMIN")
        until(lambda: self.probe("/health/ready") == 200 or self.child.poll() is not None, "the server is not ready")
        assert self.child.poll() is None, f"the server ended with {self.child.returncode}"

    def probe(self, path):
        try:
            with urllib.request.urlopen(self.base + path, timeout=2) as answer:
                return answer.status
        except (urllib.error.URLError, OSError):
            return None

    def call(self, method, path, body=None, bearer=None):
        """Sends, counts, and answers (status, JSON)."""
        request = urllib.request.Request(f"{self.base}/api/v1{path}", method=method, data=json.dumps(body).encode() if body else None)
        request.add_header("Content-Type", "application/json")
        if bearer:
            request.add_header("Authorization", f"Bearer {bearer}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            status, text = refusal.code, refusal.read()
        self.note(method, path, status)
        return status, json.loads(text or b"null")

    def note(self, method, path, status):
        route = path.split("?")[0]
        with _lock:
            self.sent["requests"] += 1
            self.sent["failed"] += status >= 500
            if (method, route) == ("POST", "/queue/enter"):
                self.sent["entered"] += 1
            for what, call in [("hold", "/reservations/hold"), ("payment", "/payments/confirm")]:
                if (method, route) == ("POST", call):
                    self.sent[f"{what}s tried"] += 1
                    self.sent[f"{what}s won"] += status in (200, 201)

    def made(self, path, body):
        status, answer = self.call("POST", path, body, self.admin)
        assert status == 201, answer
        return answer["id"]

    def event(self, rows, seats, **admission):
        """A new event on sale; without a waiting room unless `admission` says otherwise."""
        venue = self.made("/venues", {"name": "Check", "address": "1", "city": "Seoul"})
        names = [f"R{row}" for row in range(rows)]
        template = {"rows": names, "seatsPerRow": seats, "gradeMapping": {name: "S" for name in names}}
        hall = self.made(f"/venues/{venue}/halls", {"name": "Main", "seatTemplate": template})
        return self.made(
            "/events",
            {
                "title": "Check", "artist": "Check", "hallId": hall, "currency": "KRW", "prices": {"S": 1000},
                "startsAt": "2040-01-02T00:00:00Z", "endsAt": "2040-01-03T00:00:00Z",
                "saleStartsAt": "2020-01-01T00:00:00Z", "saleEndsAt": "2040-01-01T00:00:00Z", "maxSeatsPerBuyer": 100,
                "admission": admission or {"required": False},
            },
        )

    def hold(self, event, seats=1):
        bearer = token("USER")
        status, answer = self.call("POST", "/reservations/hold", {"eventId": event, "category": "S", "quantity": seats}, bearer)
        return bearer, status, answer

    def pay(self, bearer, reservation, transaction):
        status, payment = self.call(
            "POST", "/payments",
            {"reservationId": reservation["reservationId"], "amount": reservation["totalAmount"], "paymentMethod": "CARD"}, bearer,
        )
        assert status == 201, payment
        body = {name: payment[name] for name in ("reservationId", "paymentId", "paymentKey", "amount")}
        return self.call("POST", "/payments/confirm", body | {"transactionId": transaction}, bearer)

    def enter(self, event):
        began = time.monotonic()
        answer = self.call("POST", "/queue/enter", {"eventId": event}, token("USER"))
        self.slowest = max(self.slowest, time.monotonic() - began)
        return answer

    def many(self, what, times, at_once=8):
        with ThreadPoolExecutor(at_once) as crowd:
            return list(crowd.map(lambda _: what(), range(times)))

    def stop(self):
        self.child.terminate()
        assert self.child.wait(PATIENCE) == 0


def scrape(base):
    with urllib.request.urlopen(f"{base}/metrics", timeout=PATIENCE) as answer:
        return answer.read().decode()


_lock = threading.Lock()


def token(role):
    """A bearer token: whoever holds the secret may mint one."""
    def part(value):
        return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=")

    now = int(time.time())
    claims = {"sub": str(uuid.uuid4()), "role": role, "iat": now, "exp": now + 3600, "jti": str(uuid.uuid4())}
    text = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(claims)
    return (text + b"." + part(hmac.digest(SECRET.encode(), text, hashlib.sha256))).decode()
