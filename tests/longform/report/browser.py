"""Headless Chromium over its DevTools pipe: no driver, no port, no library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE_S = 60.0
_LAUNCH = """import os, sys
away = [os.dup2(int(end), 60 + i) for i, end in enumerate(sys.argv[1:3])]
for place, end in zip((3, 4), away):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads from descriptor 3 and writes to 4; the pipe's ends are moved out of the way, then there."""


def find_chromium() -> str:
    """The browser's command; skips the test where there is none."""
    for name in (os.environ.get("CHROMIUM"), *_NAMES):
        if name and (found := shutil.which(name)):
            return found
    pytest.skip("no Chromium found (apt-get install chromium, or set CHROMIUM)")


class Browser:
    """One page in a browser of its own. `problems` and `requests` gather what a quiet page has none of."""

    def __init__(self, profile: Path) -> None:
        (to_browser, self._out), (self._in, from_browser) = os.pipe(), os.pipe()
        arguments = [
            find_chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", "--disable-dev-shm-usage", "--remote-debugging-pipe",
            f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        wrapped = [sys.executable, "-c", _LAUNCH, str(to_browser), str(from_browser), *arguments]
        self._process = subprocess.Popen(wrapped, pass_fds=(to_browser, from_browser), stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self._unread = b""
        self._count = 0
        self._session: str | None = None
        self.problems: list[str] = []
        self.requests: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a DevTools method; its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            block = os.read(self._in, 1 << 20) if ready else b""
            if not block:
                raise AssertionError(f"Chromium said nothing for {_PATIENCE_S:g} s, or ended.")
            self._unread += block
        message, self._unread = self._unread.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, found = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(found["exceptionDetails"]["exception"].get("description", "exception"))
        elif method == "Runtime.consoleAPICalled":
            self.problems.append(f"console.{found['type']}: {found['args']}")
        elif method == "Log.entryAdded":
            self.problems.append(f"{found['entry']['level']}: {found['entry']['text']}")
        elif method == "Page.javascriptDialogOpening":
            self.problems.append(f"dialog: {found['message']}")
        elif method == "Network.requestWillBeSent" and not found["request"]["url"].startswith("data:"):
            self.requests.append(found["request"]["url"])

    def size(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Set the window, and what colours the user prefers."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a page from disk and wait until its script has run."""
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=page.resolve().as_uri() + fragment)
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def shortest_open_s(self, page: Path) -> float:
        """Of three times to `open`: other work on the machine lengthens some."""
        took = []
        for _ in range(3):
            began = time.monotonic()
            self.open(page)
            took.append(time.monotonic() - began)
        return min(took)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]["exception"].get("description")
        return answer["result"].get("value")

    def wait(self, condition: str, within_s: float = _PATIENCE_S) -> None:
        """Until an expression is true in the page."""
        until = time.monotonic() + within_s
        while not self.evaluate(condition):
            assert time.monotonic() < until, f"not true after {within_s:g} s: {condition}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """Text of the first element that matches."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def click(self, selector: str, at: tuple[float, float] = (0.5, 0.5)) -> None:
        """Press the mouse on an element; `at` in fractions of its width and height."""
        self.drag(selector, at, at)

    def drag(self, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one place of an element, and release it at another."""
        self.point(selector, start)
        self._mouse("mousePressed", selector, start)
        if end != start:
            self._mouse("mouseMoved", selector, end, buttons=1)
        self._mouse("mouseReleased", selector, end)

    def point(self, selector: str, at: tuple[float, float]) -> None:
        """Scroll an element into sight, and move the mouse there."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{found}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        self._mouse("mouseMoved", selector, at, button="none")

    def _mouse(self, kind: str, selector: str, at: tuple[float, float], **more: Any) -> None:
        left, top, width, height = self.evaluate(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); "
            "return [box.x, box.y, box.width, box.height]; })()"
        )
        place = {"x": left + at[0] * width, "y": top + at[1] * height}
        self.send("Input.dispatchMouseEvent", type=kind, **place, **{"button": "left", "clickCount": 1, **more})

    def key(self, name: str) -> None:
        """Press one key."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Save what is seen, or the whole page."""
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """End the browser."""
        self._session = None
        closing: list[Callable[[], Any]] = [lambda: self.send("Browser.close"), lambda: self._process.wait(_PATIENCE_S)]
        try:
            for step in closing:
                step()
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._in)
            os.close(self._out)
