"""The page as a reader uses it, in headless Chromium: clicks, keys, filter, addresses, and names that bite."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from longform.report.collect import Boxes, Shots, Tracks, VideoDetail, lanes
from longform.report.command import write_report
from longform.report.page import render
from tests.longform.numbered import STEP
from tests.longform.report.browser import Browser
from tests.longform.report.film_bank import EVIL, EVIL_CARD, FPS, SECONDS

SHOWN_GREY = """(() => {
  const [image, canvas] = [document.getElementById("picture"), document.createElement("canvas")];
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1).data[0];
})()"""
"""Brightness in the middle of the picture: the film's frames say their number by it."""

MAP_DOTS = """(() => {
  const canvas = document.getElementById("map");
  const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const found = [];
  for (let y = 0; y < canvas.height; y += 2)
    for (let x = 0; x < canvas.width; x += 2) {
      const pixel = 4 * (y * canvas.width + x);
      if (String(data.slice(pixel, pixel + 4)) === "COLOUR") found.push([x / canvas.width, y / canvas.height]);
    }
  return found;
})()"""
FILM_DOTS = MAP_DOTS.replace("COLOUR", "0,114,178,255")
"""Where the map shows points of film.mov (the first shown video, in the first colour) while it is chosen."""
RING_DOTS = MAP_DOTS.replace("COLOUR", "200,50,30,255")
"""Where it shows the ring around the chosen point."""


def shown_second(browser: Browser) -> float:
    minutes, seconds = browser.text("#clock").split(":")
    return 60 * int(minutes) + float(seconds)


def loaded(browser: Browser, page: Path, fragment: str = "") -> None:
    browser.open(page, fragment)
    browser.wait("document.getElementById('picture').complete")


def assert_picture_is_of(browser: Browser, frame: int) -> None:
    browser.wait(f"document.getElementById('picture').complete && Math.abs({SHOWN_GREY} - {STEP * frame}) <= 1")
    assert f"frame {frame}" in browser.text("#caption")


def test_it_opens_on_the_first_video_with_its_picture_and_boxes(browser: Browser, page: Path) -> None:
    loaded(browser, page, "#v=film.mov")
    assert browser.text("#video-name") == "film.mov"
    assert browser.text("#caption") == "Picture and boxes of 0:01.00, frame 10"
    assert_picture_is_of(browser, FPS)
    assert browser.evaluate("document.querySelectorAll('#boxes > g').length") == 2
    placed = browser.evaluate(
        "(() => { const [screen, box] = ['#screen', '#boxes .outline'].map((s) => document.querySelector(s)"
        ".getBoundingClientRect()); return [(box.x - screen.x) / screen.width, (box.y - screen.y) / screen.height,"
        " box.width / screen.width, box.height / screen.height]; })()"
    )
    np.testing.assert_allclose(placed, [0.1, 0.25, 0.2, 0.5], atol=0.01)


@pytest.mark.parametrize("second", [0, 3, 4, 7])
def test_a_click_on_the_time_line_shows_that_moment(browser: Browser, page: Path, second: int) -> None:
    loaded(browser, page, "#v=film.mov")
    browser.click("#timeline", at=((second + 0.2) / SECONDS, 0.4))
    assert shown_second(browser) == pytest.approx(second + 0.2, abs=0.02)
    assert browser.text("#moment-facts").startswith(f"frame{10 * second + 2} of 80shot{second // 2 + 1} of 4")
    assert_picture_is_of(browser, second * FPS)
    assert browser.evaluate("location.hash").startswith("#v=film.mov&t=")


def test_the_time_line_zooms_and_moves(browser: Browser, page: Path) -> None:
    loaded(browser, page, "#v=film.mov&t=1")
    seen = []
    browser.click("#zoom-in")  # 0.5 to 4.5 s: what is chosen stays in its place
    browser.click("#timeline", at=(0.5, 0.4))
    seen.append(shown_second(browser))
    browser.drag("#timeline", (0.75, 0.4), (0.5, 0.4))  # 1.5 to 5.5 s
    browser.click("#timeline", at=(0.5, 0.4))
    seen.append(shown_second(browser))
    browser.click("#zoom-all")
    browser.click("#timeline", at=(0.5, 0.4))
    seen.append(shown_second(browser))
    assert seen == pytest.approx([2.5, 3.5, 4], abs=0.03)


def test_moving_over_the_time_line_tells_what_is_there(browser: Browser, page: Path) -> None:
    loaded(browser, page, "#v=film.mov")
    height = browser.evaluate("document.getElementById('timeline').clientHeight")
    browser.point("#timeline", (0.5 / SECONDS, (24 + 58 + 14 + 4 + 5) / height))
    browser.wait("!document.getElementById('tip').hidden")
    assert browser.text("#tip").startswith("0:00.50, shot 1person")
    assert browser.text("#tip").endswith("track 0: 0:00.0 to 0:01.0, 2 detections")
    browser.point("#title", (0.5, 0.5))
    browser.wait("document.getElementById('tip').hidden")


def test_a_click_on_a_track_singles_it_out(browser: Browser, page: Path) -> None:
    loaded(browser, page, "#v=film.mov")
    height = browser.evaluate("document.getElementById('timeline').clientHeight")
    browser.click("#timeline", at=(4.5 / SECONDS, (24 + 58 + 14 + 4 + 11 + 5) / height))
    assert browser.evaluate("document.querySelector('#found [aria-pressed=true] span').textContent").endswith("track 5")
    assert browser.evaluate("document.querySelectorAll('#boxes g[opacity=\"1\"]').length") == 1


def test_arrow_keys_go_from_shot_to_shot(browser: Browser, page: Path) -> None:
    loaded(browser, page, "#v=film.mov")
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        browser.key(key)
        seen.append(shown_second(browser))
    assert seen == [3, 5, 7, 7, 5]
    browser.click("#previous")
    assert shown_second(browser) == 3


def test_a_click_on_the_map_shows_that_moment(browser: Browser, page: Path) -> None:
    loaded(browser, page, "#v=gone.mp4")
    assert browser.evaluate(FILM_DOTS) == []  # points of videos that are not chosen are pale
    browser.open(page, "#v=film.mov")
    browser.wait(f"{FILM_DOTS}.length > 0")
    spots = browser.evaluate(FILM_DOTS)
    seen = set()
    for x, y in spots[:: max(1, len(spots) // 12)]:
        browser.click("#map", at=(x, y))
        seen.add((browser.text("#video-name"), shown_second(browser)))
        browser.wait(  # until the next painting puts the ring around the point that was clicked
            f"((ring, map) => ring.length > 2 && ring.every(([x, y]) =>"
            f" Math.hypot((x - {x}) * map.width, (y - {y}) * map.height) < 16))"
            f"({RING_DOTS}, document.getElementById('map'))"
        )
    assert {second for _, second in seen} <= set(map(float, range(SECONDS)))
    assert len(seen) >= 4
    assert ("film.mov", shown_second(browser)) in seen


def test_more_like_this_leads_to_another_shot(browser: Browser, page: Path) -> None:
    loaded(browser, page, "#v=film.mov&t=1")
    assert browser.evaluate("document.querySelectorAll('#similar li').length") == 6
    assert "exact cosine over the 16 moments" in browser.text("#similar-note")
    shot = browser.text("#moment-facts")
    browser.click("#similar button")
    assert (browser.text("#video-name"), browser.text("#moment-facts")) != ("film.mov", shot)
    browser.evaluate(
        "(() => { const s = document.getElementById('space'); s.value = 1; s.dispatchEvent(new Event('change')); })()"
    )
    assert "track" in browser.text("#similar small")
    browser.click("#colour-by button[value=track]")
    assert browser.evaluate("document.querySelector('#colour-by [aria-checked=true]').value") == "track"


def test_the_filter_narrows_the_list_and_only_rows_in_sight_exist(browser: Browser, page: Path) -> None:
    loaded(browser, page)
    names = "[...document.querySelectorAll('#rows b')].map((b) => b.textContent)"
    assert browser.text("#count") == "123 videos"
    browser.wait(f"{names}.length > 5")
    assert browser.evaluate(f"{names}.length") < 40
    browser.click("#filter")
    browser.send("Input.insertText", text="OTHER 011")
    browser.wait(f"{names}.length === 11")  # 0011 and 0110 to 0119
    assert browser.text("#count") == "11 of 123 videos"
    browser.evaluate("document.getElementById('filter').select()")
    browser.send("Input.insertText", text="failed")
    browser.wait(f"{names}.length === 1")
    browser.click("#rows button")
    assert browser.text("#video-name") == "broken.mp4"
    assert browser.evaluate("document.getElementById('detail').hidden")
    assert browser.text("#similar-note") == "This feature space has no rows for this video."
    assert browser.evaluate("document.querySelectorAll('#similar li').length") == 0
    browser.evaluate("document.getElementById('filter').select()")
    browser.send("Input.insertText", text="nothing is called so")
    browser.wait(f"{names}.length === 0")
    assert browser.text("#count") == "0 of 123 videos"


def test_scrolling_the_list_brings_the_last_video(browser: Browser, page: Path) -> None:
    loaded(browser, page)
    browser.evaluate("document.getElementById('rows').scrollTop = 1e6")
    browser.wait("[...document.querySelectorAll('#rows b')].at(-1)?.textContent === 'other-0119.mp4'")


def test_text_of_files_stays_text(browser: Browser, page: Path) -> None:
    loaded(browser, page, "#v=gone.mp4")
    assert browser.text("#video-facts").endswith(EVIL)
    assert "</script><img src=x onerror" in browser.text("#video-notes")
    assert browser.evaluate("document.querySelector('#boxes text').textContent") == f"0 person{EVIL}"
    browser.open(page, "#v=broken.mp4")
    assert browser.text("#video-notes").endswith(f"ProbeError: no video {EVIL}")
    assert EVIL_CARD in browser.text("#bank-panel")
    browser.open(page, "#v=" + "%3Cimg src=x onerror=alert(1)%3E")
    assert browser.evaluate("window.pwned") is None
    assert browser.evaluate("document.querySelectorAll('img[src]:not([src^=\"data:\"])').length") == 0


def test_a_video_that_is_gone_is_shown_without_pictures(browser: Browser, page: Path) -> None:
    browser.open(page, "#v=gone.mp4&t=3")
    assert "No file at" in browser.text("#no-picture")
    assert browser.evaluate("document.getElementById('picture').hidden")
    assert browser.text("#caption") == "Boxes of 0:03.00, frame 30"
    assert browser.evaluate("document.querySelectorAll('#boxes > g').length") == 2


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 390, 800, 1280, 2200])
def test_nothing_is_wider_than_the_screen(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.size(width, 800, dark=dark, phone=width < 500)
    for video in ("film.mov", "gone.mp4", "broken.mp4"):
        browser.open(page, f"#v={video}&t=1")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(background.removeprefix("rgb(").split(",")[0])
    assert (red < 60) == dark


def test_the_policy_lets_nothing_in(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    chromium.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.pwned = 1';"
        " document.body.append(s); const i = new Image(); i.src = 'https://example.invalid/x.png';"
        " document.body.append(i); })()"
    )
    failed = chromium.evaluate("fetch('https://example.invalid/').then(() => 'came', (error) => String(error))")
    assert "TypeError" in failed
    assert chromium.evaluate("window.pwned") is None
    refused = " ".join(text for text in chromium.problems if "Content Security Policy" in text)
    assert all(what in refused for what in ("inline script", "image 'https://example", "Connecting to")), (
        chromium.problems
    )


def test_one_video_has_no_list(browser: Browser, bank: Path, tmp_path: Path) -> None:
    write_report(str(bank), str(tmp_path / "one.html"), video="film.mov", space="person.test")
    loaded(browser, tmp_path / "one.html")
    assert browser.evaluate("document.getElementById('videos').hidden")
    assert browser.text("#title") == "film.mov"
    assert browser.evaluate("[...document.getElementById('space').options].map((o) => o.textContent)") == [
        "person.test"
    ]


def test_two_hours_open_and_move_quickly(browser: Browser, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    starts = [0.0, *np.sort(rng.uniform(0, 7200, 1999)).round(2).tolist()]
    ends = [*starts[1:], 7200.0]
    shots = Shots(start_s=starts, end_s=ends, start_frame=[int(25 * s) for s in starts],
                  end_frame=[int(25 * s) for s in ends], found=True)  # fmt: skip
    begins = np.sort(rng.uniform(0, 7190, 20_000)).round(2).tolist()
    finish = [begin + 8.0 for begin in begins]
    count = len(begins)
    tracks = Tracks(id=list(range(count)), label=["person"] * count, start_s=begins, end_s=finish, boxes=[8] * count,
                    lane=lanes(begins, finish))  # fmt: skip
    times = np.repeat(np.arange(7200), 10).astype(float).tolist()
    boxes = Boxes(at_s=times, frame=[int(25 * t) for t in times], box=[[0.1, 0.1, 0.2, 0.2]] * 72_000,
                  score=[0.5] * 72_000, label=["person"] * 72_000, track=[1] * 72_000)  # fmt: skip
    detail = VideoDetail(shots=shots, tracks=tracks, boxes=boxes, notes=[])
    video = {"video_id": "long.mp4", "uri": "long.mp4", "status": "ok", "damage": "frames are lost",
             "gaps": [{"start_s": 60.0 * i, "end_s": 60.0 * i + 1.5, "frames": 3} for i in range(1, 101)],
             "gaps_left_out": 7, "duration_s": 7200.0, "fps": 25.0, "width": 640, "height": 360,
             "num_frames": 180_000, "codec": None, "rotation_deg": 0, "source_bytes": 1,
             "rows": {"shots": 2000, "tracks": count}, "shown": 0}  # fmt: skip
    points = 6000
    space = {"name": "clip", "rows": points, "explained": (0.5, 0.1), "video": [0] * points,
             "at_s": np.linspace(0, 7199, points).round(2).tolist(), "track": [None] * points,
             "x": rng.integers(0, 10_000, points).tolist(), "y": rng.integers(0, 10_000, points).tolist(),
             "similar": [[]] * points, "similar_how": ""}  # fmt: skip
    head = {"title": "long", "path": "long", "one": True, "videos_in_bank": 1, "list": [video], "maps": [space],
            "pictures": 0, "videos": {"ok": 1, "failed": 0}, "tables": {}, "spaces": [], "damaged": 0, "hours": 2,
            "bytes": 1, "explained": [], "masked": []}  # fmt: skip
    nothing = {"predictions": [], "masked": [], "pictures": {"at_s": [], "frame": [], "data": [], "note": None}}
    text = render("long", head, [asdict(detail) | nothing])
    (tmp_path / "long.html").write_text(text)
    opened_s = browser.shortest_open_s(tmp_path / "long.html")
    moved_ms = browser.evaluate(
        """(async () => {
          const took = [];
          for (let i = 0; i < 20; i++) {
            const began = performance.now();
            document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
            await new Promise(requestAnimationFrame);
            took.push(performance.now() - began);
          }
          return Math.min(...took);
        })()"""
    )
    assert browser.text("#moment-facts").startswith("frame")
    assert "shot21 of 2,000" in browser.text("#moment-facts")
    notes = browser.text("#video-notes")
    assert "frames are lost. No pictures from 1:00.00 to 1:01.50, 2:00.00 to 2:01.50, " in notes
    assert "and 99 more spans" in notes
    assert opened_s < 5
    assert moved_ms < 200
