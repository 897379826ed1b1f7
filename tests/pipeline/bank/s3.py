"""A local S3 server that fails on request: 500, 503, dropped connections, answers that come late or never."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}

Fault = Callable[[str, str], str | float | None]
"""From method and path to "500", "503", "drop", seconds to wait before the answer, or None."""


class FaultyS3:
    """One server with an empty bucket `banks`; `fault` decides on every request."""

    def __init__(self) -> None:
        moto_server = pytest.importorskip("moto.server")
        werkzeug = pytest.importorskip("werkzeug.serving")
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.fault: Fault = lambda method, path: None
        self.requests = self.faults = 0
        self._count = threading.Lock()
        self._moto = moto_server.DomainDispatcherApplication(moto_server.create_backend_app)
        self._server = werkzeug.make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def uri(self, path: str) -> str:
        """Address of a path in the bucket."""
        return f"s3://banks/{path}?scheme=http&endpoint_override=127.0.0.1%3A{self._server.port}&region=us-east-1"

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        with self._count:
            self.requests += 1
            fault = self.fault(environ["REQUEST_METHOD"], environ["PATH_INFO"])
            self.faults += fault is not None
        if fault == "drop":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            start("500 dropped", [])
            return []
        if isinstance(fault, str):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            code = "SlowDown" if fault == "503" else "InternalError"
            body = f"<Error><Code>{code}</Code><Message>by the test</Message></Error>".encode()
            start(f"{fault} {code}", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        if fault is not None:
            time.sleep(fault)
        return self._moto(environ, start)

    @contextmanager
    def running(self) -> Iterator["FaultyS3"]:
        """The server at work, with its bucket."""
        boto3 = pytest.importorskip("boto3")
        self._thread.start()
        try:
            endpoint = f"http://127.0.0.1:{self._server.port}"
            boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="banks")
            yield self
        finally:
            self._server.shutdown()
            self._thread.join()


def some(kinds: Iterable[str | float], every: int) -> Fault:
    """Faults of these kinds in turn, one in `every` requests."""
    kinds, count = list(kinds), 0

    def fault(method: str, path: str) -> str | float | None:
        nonlocal count
        count += 1
        return kinds[count // every % len(kinds)] if count % every == 0 else None

    return fault
