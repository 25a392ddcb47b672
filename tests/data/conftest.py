"""A web server on loopback that serves files as a test says."""

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest


@dataclass
class Server:
    """What a web server serves, and what it was asked for.

    Attributes:
        url: its address.
        files: what it serves, by path.
        asked: the paths that it was asked for, in order.
        cut: paths of which it sends half, and then closes the connection; each as often as it is listed.
        spoilt: paths of which it sends other bytes, each as often as it is listed.
        says_size: whether it sends the size of a file before the file.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    spoilt: list[str] = field(default_factory=list)
    says_size: bool = True


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path[1:]
            served.asked.append(path)
            content = served.files.get(path)
            self.send_response(404 if content is None else 200)
            if served.says_size:
                self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            content = content or b""
            if path in served.spoilt:
                served.spoilt.remove(path)
                content = content[::-1]
            if path in served.cut:
                served.cut.remove(path)
                content = content[: len(content) // 2]
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        served.url = f"http://127.0.0.1:{httpd.server_port}/"
        yield served
        httpd.shutdown()
        thread.join()
