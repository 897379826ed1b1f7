"""The store against a real HTTP server that breaks connections, answers pages, and changes files."""

import hashlib
import json
import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from extractors.errors import WeightsError
from extractors.weights import store as store_module
from extractors.weights.card import WeightCard
from extractors.weights.store import Store, default_folder, resolve

DATA = pickle.dumps({"w": np.arange(250_000, dtype=np.float32)}, 4)
OTHER = pickle.dumps({"w": np.ones(250_000, dtype=np.float32)}, 4)
SHA256 = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `data` at every path but /404; breaks connections off after the byte counts in `breaks`."""

    data = DATA
    etag = '"v1"'
    breaks: list[int]
    ranges: list[str | None]
    knows_ranges = True


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.path.startswith("/404"):
            self.send_error(404)
            return
        fresh = self.headers.get("If-Range") in (None, self.server.etag)
        start = int(asked[6:-1]) if asked and fresh and self.server.knows_ranges else 0
        body = self.server.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.server.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.server.data) - 1}/{len(self.server.data)}")
        self.end_headers()
        self.wfile.write(body[: self.server.breaks.pop(0)] if self.server.breaks else body)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    running.breaks, running.ranges = [], []
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def make_card(server: Server, **changes: object) -> WeightCard:
    facts: dict = {
        "name": "net_k400",
        "model": "slow_8x8_r50",
        "url": f"http://127.0.0.1:{server.server_port}/NET.pkl",
        "file_name": "NET.pkl",
        "container": "caffe2",
        "licence": "MIT",
        "num_classes": 400,
        "classes": "kinetics-400",
    }
    return WeightCard(**{**facts, **changes})


@pytest.fixture
def known(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, WeightCard]:
    """The only cards there are; tests change them."""
    cards = {"net_k400": make_card(server)}
    monkeypatch.setattr(store_module, "CARDS", cards)
    monkeypatch.setattr(store_module, "card", cards.__getitem__)
    return cards


@pytest.fixture
def store(tmp_path: Path, known: dict[str, WeightCard]) -> Store:
    return Store(tmp_path / "store")


def records(store: Store) -> dict[str, str]:
    return json.loads((store.folder / "sha256.json").read_text())


def test_a_file_is_fetched_once_and_its_sha256_recorded(store: Store, server: Server) -> None:
    assert store.find("net_k400") is None
    told: list[tuple[int, int | None]] = []
    path = store.fetch("net_k400", lambda done, total: told.append((done, total)))
    assert path == store.folder / "net_k400" / "NET.pkl" == store.find("net_k400")
    assert path.read_bytes() == DATA
    assert records(store) == {"net_k400/NET.pkl": SHA256}
    assert told[-1] == (len(DATA), len(DATA))
    assert [file.name for file in path.parent.iterdir()] == ["NET.pkl"]
    store.fetch("net_k400")
    assert len(server.ranges) == 1


def test_a_broken_download_goes_on_where_it_stopped(store: Store, server: Server) -> None:
    server.breaks = [300_000, 400_000]
    assert store.fetch("net_k400").read_bytes() == DATA
    assert server.ranges == [None, "bytes=300000-", "bytes=700000-"]


def test_a_download_goes_on_in_another_run(store: Store, server: Server) -> None:
    server.breaks = [300_000, 0, 0, 0, 0]
    with pytest.raises(
        WeightsError, match=rf"broken off 5 times; 300000 of {len(DATA)} bytes.*by hand.*longform weights add"
    ):
        store.fetch("net_k400")
    assert store.find("net_k400") is None
    assert store.fetch("net_k400").read_bytes() == DATA
    assert server.ranges[-1] == "bytes=300000-"


def test_a_file_that_changed_between_two_runs_is_not_mended_together(store: Store, server: Server) -> None:
    server.breaks = [300_000, 0, 0, 0, 0]
    with pytest.raises(WeightsError):
        store.fetch("net_k400")
    server.data, server.etag = OTHER, '"v2"'
    assert store.fetch("net_k400").read_bytes() == server.data


def test_a_server_that_knows_no_ranges_is_asked_again(store: Store, server: Server) -> None:
    server.knows_ranges = False
    server.breaks = [300_000]
    assert store.fetch("net_k400").read_bytes() == DATA


def test_a_wrong_sha256_is_refused_with_both(store: Store, known: dict[str, WeightCard], server: Server) -> None:
    known["net_k400"] = make_card(server, sha256="0" * 64)
    with pytest.raises(WeightsError, match=rf"{SHA256}, expected 0{{64}} \(published\)"):
        store.fetch("net_k400")
    assert store.find("net_k400") is None
    assert not list((store.folder / "net_k400").iterdir())


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_digest_in_the_name_is_checked(
    algorithm: str, store: Store, known: dict[str, WeightCard], server: Server
) -> None:
    known["net_k400"] = make_card(server, digest_prefix=f"{algorithm}:abcdef")
    with pytest.raises(WeightsError, match=f"{algorithm} .*begins with abcdef"):
        store.fetch("net_k400")
    digest = hashlib.new(algorithm, DATA).hexdigest()[:6]
    known["net_k400"] = make_card(server, digest_prefix=f"{algorithm}:{digest}")
    store.fetch("net_k400")


def test_a_file_that_differs_from_the_recorded_one_is_refused(store: Store, server: Server) -> None:
    store.fetch("net_k400").unlink()
    server.data = OTHER
    with pytest.raises(WeightsError, match=rf"expected {SHA256} \(recorded in .*sha256\.json"):
        store.fetch("net_k400")


def test_a_page_in_place_of_the_file_is_refused(store: Store, server: Server) -> None:
    server.data = b"<!DOCTYPE html><html>Please log in</html>"
    with pytest.raises(WeightsError, match=r"HTML or XML page.*By hand: download http"):
        store.fetch("net_k400")
    assert store.find("net_k400") is None


@pytest.mark.parametrize("path", ["404.pkl", "unreachable"])
def test_errors_give_the_address_and_the_command(
    path: str, store: Store, known: dict[str, WeightCard], server: Server
) -> None:
    url = "http://127.0.0.1:1/NET.pkl" if path == "unreachable" else make_card(server).url.replace("NET", "404")
    known["net_k400"] = make_card(server, url=url)
    with pytest.raises(WeightsError) as caught:
        store.fetch("net_k400")
    message = str(caught.value)
    assert ("404" in message) if path == "404.pkl" else ("out of reach" in message)
    for part in (url, "longform weights add net_k400 FILE", str(store.path("net_k400"))):
        assert part in message


class Malicious:
    def __reduce__(self) -> tuple:
        return os.system, ("true",)


def test_a_file_that_is_damaged_or_could_run_something_is_not_kept(
    store: Store, server: Server, tmp_path: Path
) -> None:
    server.data = pickle.dumps({"w": Malicious()})
    with pytest.raises(WeightsError, match=r"What came for net_k400.* asks to import (posix|nt)\.system"):
        store.fetch("net_k400")
    (tmp_path / "NET.pkl").write_bytes(DATA[:-100])
    with pytest.raises(WeightsError, match=r"damaged or cut off"):
        store.add("net_k400", tmp_path / "NET.pkl")
    assert store.find("net_k400") is None
    assert not (store.folder / "sha256.json").exists()


def test_google_drive_is_left_to_a_browser(store: Store, known: dict[str, WeightCard], server: Server) -> None:
    known["net_k400"] = make_card(server, url="https://drive.google.com/uc?id=1")
    with pytest.raises(WeightsError, match=r"browser.*https://drive\.google\.com/uc\?id=1.*longform weights add"):
        store.fetch("net_k400")


def test_a_full_disk_is_told_before_the_download(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr("extractors.weights.download.shutil.disk_usage", lambda _: usage)
    with pytest.raises(WeightsError, match=f"{len(DATA)} bytes are to come, and 1000 bytes are free"):
        store.fetch("net_k400")


def test_a_file_downloaded_by_hand_is_copied_and_recorded(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "download (1).pkl"
    mine.write_bytes(DATA)
    assert store.add("net_k400", mine).read_bytes() == DATA
    assert mine.exists()
    assert records(store) == {"net_k400/NET.pkl": SHA256}
    mine.write_bytes(OTHER)
    with pytest.raises(WeightsError, match="recorded"):
        store.add("net_k400", mine)
    assert store.path("net_k400").read_bytes() == DATA
    with pytest.raises(WeightsError, match="There is no file"):
        store.add("net_k400", tmp_path / "absent")


def test_what_belongs_to_a_file_comes_with_it(
    store: Store, known: dict[str, WeightCard], server: Server, tmp_path: Path
) -> None:
    known["net_k400"] = make_card(server, companions={"NET.data": make_card(server).url.replace("NET.pkl", "NET.data")})
    store.fetch("net_k400")
    assert sorted(records(store)) == ["net_k400/NET.data", "net_k400/NET.pkl"]
    (store.folder / "net_k400" / "NET.data").unlink()
    assert store.find("net_k400") is None
    (tmp_path / "NET.pkl").write_bytes(DATA)
    with pytest.raises(WeightsError, match=r"NET\.data"):
        store.add("net_k400", tmp_path / "NET.pkl")


def test_verify_tells_what_is_there_and_what_changed(store: Store) -> None:
    assert store.verify() == []
    assert [check.status for check in store.verify(["net_k400"])] == ["missing"]
    path = store.fetch("net_k400")
    assert [(check.status, check.sha256) for check in store.verify()] == [("ok", SHA256)]
    (store.folder / "sha256.json").unlink()
    assert [check.status for check in store.verify()] == ["recorded"]
    path.write_bytes(DATA[:-1])
    (check,) = store.verify()
    assert (check.status, check.expected) == ("changed", SHA256)


def test_resolve_finds_cards_and_files_and_checks_them(store: Store, tmp_path: Path) -> None:
    (tmp_path / "own.safetensors").write_bytes(b"x")
    assert resolve(tmp_path / "own.safetensors", store) == (tmp_path / "own.safetensors", None)
    with pytest.raises(
        WeightsError, match=r"longform weights fetch net_k400`.*download http.*longform weights add net_k400"
    ):
        resolve("net_k400", store)
    path = store.fetch("net_k400")
    found, card = resolve("net_k400", store)
    assert (found, card and card.name) == (path, "net_k400")
    path.write_bytes(DATA + b"x")
    with pytest.raises(WeightsError, match="not the file it should be"):
        resolve("net_k400", store)
    with pytest.raises(WeightsError, match=r"neither a file nor a checkpoint.*Did you mean: net_k400"):
        resolve("net_k40", store)


def test_the_folder_is_the_one_that_was_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LONGFORM_WEIGHTS", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("LONGFORM_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    assert default_folder() == tmp_path / "cache" / "longform" / "weights"
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_folder() == Path.home() / "Library" / "Caches" / "longform" / "weights"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr("sys.platform", "win32")
    assert default_folder() == tmp_path / "local" / "longform" / "weights"
