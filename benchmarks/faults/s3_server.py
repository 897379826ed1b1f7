"""A local S3 server (moto) behind a proxy that answers badly as often as it is told to."""

import logging
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
BUCKET = "banks"
RESET = "connection reset"
NEVER_S = 40.0
"""Longer than a client waits for an answer."""
ERRORS = {"500": "InternalError", "503": "SlowDown"}

Fault = str | float | None
"""A key of ERRORS, RESET, seconds to wait before the answer, or nothing."""


Choice = Callable[[random.Random], Fault]


class FlakyS3:
    """The server; `choose` decides on every request, with a generator of the lab's."""

    def __init__(self, draws: random.Random) -> None:
        """Raises ImportError where moto is not installed."""
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self.choose: Choice = lambda draws: None
        self.requests = 0
        self.served: Counter[str] = Counter()
        """Faults by kind."""
        self._draws, self._lock = draws, threading.Lock()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)

    def uri(self, path: str) -> str:
        """Address of a path in the bucket."""
        port = self._server.port
        return f"s3://{BUCKET}/{path}?scheme=http&endpoint_override=127.0.0.1%3A{port}&region=us-east-1"

    @contextmanager
    def running(self) -> Iterator["FlakyS3"]:
        """The server at work, with an empty bucket."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            self._make_bucket()
            yield self
        finally:
            self._server.shutdown()
            thread.join()

    def _make_bucket(self) -> None:
        from pyarrow import fs as pafs

        endpoint = f"127.0.0.1:{self._server.port}"
        pafs.S3FileSystem(
            access_key="test", secret_key="test", endpoint_override=endpoint, scheme="http", region="us-east-1",
            allow_bucket_creation=True,
        ).create_dir(BUCKET)  # fmt: skip

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        with self._lock:
            self.requests += 1
            fault = self.choose(self._draws)
            if fault is not None:
                self.served[_name(fault)] += 1
        if fault == RESET:
            _reset(environ["werkzeug.socket"])
            start("500 reset", [])
            return []
        if isinstance(fault, str):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = f"<Error><Code>{ERRORS[fault]}</Code><Message>on purpose</Message></Error>".encode()
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
            start(f"{fault} {ERRORS[fault]}", headers)
            return [body]
        if fault is not None:
            time.sleep(fault)
        return self._moto(environ, start)


def _name(fault: str | float) -> str:
    if isinstance(fault, str):
        return fault
    return "no answer in time" if fault >= NEVER_S else "late answer"


def _reset(connection: socket.socket) -> None:
    """End a connection so that the client gets an RST, and not a proper end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
