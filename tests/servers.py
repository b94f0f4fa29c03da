"""Servers that tests read from and write to: S3 by moto, files over HTTP, and a proxy before either that breaks connections off."""

import functools
import http.server
import logging
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}

BODY = bytes(range(256)) * 400
"""Of a file: 102,400 bytes."""
FALLEN_S = 0.7


class Proxy:
    """Passes bytes on to a port of this machine. One of `drop_every` connections, the first one first, is cut after `drop_after` bytes
    of the answer.

    After `falls_after` bytes in all it is gone for FALLEN_S seconds.
    """

    def __init__(self, port: int) -> None:
        self.behind, self.drop_every, self.drop_after = port, 0, 0
        self.connections, self.dropped, self.passed, self.falls = 0, 0, 0, 0
        self.falls_after: int | None = None
        self.open: set[socket.socket] = set()
        self.port = 0
        self.up()

    def up(self) -> None:
        """Answer, at the port that was answered at before."""
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def down(self) -> None:
        """As a server that was killed: nobody listens, and what was under way is cut."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in list(self.open):
            cut(end)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            short = self.drop_every and self.connections % self.drop_every == 1 % self.drop_every
            server = socket.create_connection(("127.0.0.1", self.behind), timeout=30)
            server.settimeout(30)
            client.settimeout(30)
            self.open |= {client, server}
            threading.Thread(target=self._pass_on, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, self.drop_after if short else None), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, left: int | None) -> None:
        """left: bytes until both ends are closed."""
        try:
            while body := one.recv(65536):
                self.passed += len(body)
                if self.falls_after is not None and self.passed > self.falls_after:
                    self.falls_after = None
                    self.falls += 1
                    self.down()
                    threading.Timer(FALLEN_S, self.up).start()
                    break
                other.sendall(body if left is None else body[:left])
                if left is not None and (left := left - len(body)) <= 0:
                    self.dropped += 1
                    break
        except OSError:
            pass
        for end in (one, other):
            self.open.discard(end)
            cut(end)


def cut(end: socket.socket) -> None:
    """At once, even where another thread waits for it."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


class Files(http.server.SimpleHTTPRequestHandler):
    """A folder over HTTP, with pieces (RFC 9110, section 14), unless the server says otherwise, and with a tag of every version."""

    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def log_message(self, *words: object) -> None:
        """Nothing: stderr is the tests'."""

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))  # type: ignore[attr-defined]
        path = Path(self.translate_path(self.path))
        if "forbidden" in path.name:
            return self.send_error(403)
        if not path.is_file():
            return super().do_GET() if path.is_dir() and self.command == "GET" else self.send_error(404)
        body, span = path.read_bytes(), self.headers.get("Range")
        first, last = 0, len(body) - 1
        if span and self.server.pieces:  # type: ignore[attr-defined]
            start, _, end = span.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end), last) if end else last
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("ETag", f'"{path.stat().st_mtime_ns:x}"')
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[first : last + 1])

    do_HEAD = do_GET


class Server(http.server.ThreadingHTTPServer):
    """asked: (method, path, piece) of every request. pieces: whether it gives any."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Files, directory=str(folder)))
        self.asked: list[tuple[str, str, str | None]] = []
        self.pieces = True

    def handle_error(self, request: object, address: object) -> None:
        """A client that went away is no news."""


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """In a thread of its own."""
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class Bucket:
    """s3://tests on a server of this process, whose answers come through a proxy."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.proxy = Proxy(self.server.get_host_and_port()[1])
        self.environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.proxy.port}"}
        self.numbers = 0

    def put(self, folder: Path) -> str:
        """Everything in the folder, in a new place. Returns its URL."""
        place = self.empty()
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.client.put_object(Bucket="tests", Key=f"{place[11:]}/{path.relative_to(folder).as_posix()}", Body=path.read_bytes())
        return place

    def empty(self) -> str:
        """A URL where nothing is yet."""
        self.numbers += 1
        return f"s3://tests/{self.numbers}"

    def holds(self, url: str) -> dict[str, bytes]:
        """What lies below a URL, by name."""
        start = url.removeprefix("s3://tests/").rstrip("/") + "/"
        rows = self.client.list_objects_v2(Bucket="tests", Prefix=start).get("Contents", [])
        bodies = {row["Key"]: self.client.get_object(Bucket="tests", Key=row["Key"])["Body"].read() for row in rows}
        return {key.removeprefix(start): body for key, body in bodies.items()}

    @functools.cached_property
    def client(self):
        """Of the server itself, not of the proxy."""
        import boto3

        port = self.server.get_host_and_port()[1]
        client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        client.create_bucket(Bucket="tests")
        return client
