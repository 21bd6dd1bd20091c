"""A server that answers as one is told, and a data set that it serves."""

import gzip
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pymatgen.core import Lattice, Structure

from moe_mat.crystals.datasets import (
    fetch_matminer,
)

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
DIAMOND = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.57), ["C"], [[0, 0, 0]])


def as_stored(table: dict[str, list[Any]]) -> bytes:
    """A data set as matminer stores it: a DataFrame split by pandas, structures as monty dicts, gzip."""
    rows = list(zip(*table.values(), strict=True))
    content = {"index": list(range(len(rows))), "columns": list(table), "data": rows}
    return gzip.compress(json.dumps(content, default=lambda value: value.as_dict()).encode())


CONTENT = as_stored({"formula": ["NaCl", "C"], "gap": [5.0, None], "structure": [SALT, DIAMOND]})
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Answers each request with the next of `replies`, and the last one from then on."""

    def __init__(self) -> None:
        self.replies: list[Any] = [200]
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                reply = outer.replies.pop(0) if len(outer.replies) > 1 else outer.replies[0]
                status, content, length = 200, CONTENT, len(CONTENT)
                if isinstance(reply, int):
                    status = reply
                    content = content if status == 200 else b"<html>no</html>"
                    length = len(content)
                elif reply == "html":
                    content = b"<html>please prove that you are human</html>"
                    length = len(content)
                elif reply == "cut":
                    content = content[: len(content) // 2]
                elif reply == "slow":
                    time.sleep(0.6)
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that do not wait
        self.url = f"http://127.0.0.1:{self.http.server_port}/toy.json.gz"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def fetch(server: Server, folder, **changes: Any):
    return fetch_matminer(
        "toy", **{"url": server.url, "sha256": SHA256, "cache_dir": folder, "timeout": 5.0, **changes}
    )


def only_file(folder) -> str:
    (path,) = folder.iterdir()
    return path.name
