"""Predictions with what they attended to, and masked people, as a reader uses them in headless Chromium."""

from pathlib import Path

import numpy as np
import pytest

from longform.report.command import write_report
from tests.longform.report.answer_files import (
    FIRST,
    PREDICTIONS,
    TRACKS,
    explanations,
    masked,
    moment,
    prediction,
    write,
)
from tests.longform.report.browser import Browser
from tests.longform.report.film_bank import EVIL, SECONDS
from tests.longform.report.test_in_browser import assert_picture_is_of, loaded, shown_second

LANE_TOP, LANE_PX = 24 + 58 + 14, 40
BAR_HEIGHT = """(() => {
  const canvas = document.getElementById("timeline");
  const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const colours = Array.from({ length: LANE_PX }, (_, y) =>
    String(context.getImageData(Math.round(SECOND / 8 * canvas.width), LANE_TOP + y, 1, 1).data));
  return colours.filter((colour) => colour !== "238,238,235,255" && colour !== "0,0,0,0").length;
})()""".replace("LANE_TOP", str(LANE_TOP)).replace("LANE_PX", str(LANE_PX))
"""Pixels of the bar at SECOND of the film, in the lane of attended moments."""


@pytest.fixture(scope="module")
def answers(bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    write_report(
        str(bank),
        str(folder / "page.html"),
        explained=[write(folder / "e.json", explanations(*PREDICTIONS))],
        masked=[write(folder / "m.json", masked(("film.mov", TRACKS)))],
    )
    return folder / "page.html"


def lane(browser: Browser, second: float) -> tuple[float, float]:
    """Where the lane shows a second."""
    height = browser.evaluate("document.getElementById('timeline').clientHeight")
    return second / SECONDS, (LANE_TOP + LANE_PX / 2) / height


def rows(browser: Browser, selector: str) -> list[str]:
    return browser.evaluate(f"[...document.querySelectorAll('{selector}')].map((one) => one.textContent)")


def test_it_opens_on_the_first_prediction_with_its_classes_and_moments(browser: Browser, answers: Path) -> None:
    loaded(browser, answers)
    assert browser.text("#video-name") == "film.mov"
    assert shown_second(browser) == 3.5
    assert rows(browser, "#predictions li") == ["0:03.5open0.90", "0:06.5answer phone0.90"]
    assert rows(browser, "#predictions [aria-current]") == ["0:03.5open0.90"]
    assert rows(browser, "#answer .scores li") == ["open0.90", "other0.30"]
    assert rows(browser, "#answer .cards li") == [
        "0:01.050.0 %\N{MINUS SIGN}2.5 s, track 0",
        "0:04.030.0 %+0.5 s, track 4",
        "0:01.010.0 %\N{MINUS SIGN}2.5 s, track 1",
        "0:06.05.0 %+2.5 s",
    ]
    assert "3 empty slots of the window took 5.0 %" in rows(browser, "#answer > .note")[-1]


def test_a_click_on_a_moment_goes_there(browser: Browser, answers: Path) -> None:
    loaded(browser, answers)
    browser.click("#answer .cards li:nth-child(2) .thumb")
    assert shown_second(browser) == 4
    assert_picture_is_of(browser, 40)
    assert browser.evaluate("document.querySelector('#found [aria-pressed=true] span').textContent").endswith("track 4")
    browser.click("#answer .asked .thumb")
    assert shown_second(browser) == 3.5


def test_key_frames_have_the_box_in_its_place(browser: Browser, answers: Path) -> None:
    loaded(browser, answers)
    placed = browser.evaluate(
        "(() => { const [frame, box] = ['.cards li .thumb', '.cards li .outline'].map((s) => document.querySelector(s)"
        ".getBoundingClientRect()); return [(box.x - frame.x) / frame.width, (box.y - frame.y) / frame.height,"
        " box.width / frame.width, box.height / frame.height]; })()"
    )
    np.testing.assert_allclose(placed, [0.1, 0.25, 0.2, 0.5], atol=0.02)
    assert browser.evaluate("document.querySelectorAll('.cards .thumb.other').length") == 0


def test_bars_on_the_time_line_are_as_tall_as_the_weights(browser: Browser, answers: Path) -> None:
    loaded(browser, answers)
    browser.wait(f"{BAR_HEIGHT.replace('SECOND', '1')} > 0")
    heights = {second: browser.evaluate(BAR_HEIGHT.replace("SECOND", str(second))) for second in (1, 2, 4, 6)}
    assert heights[2] == 0
    for second, weight in ((1, 0.6), (4, 0.3), (6, 0.05)):
        assert heights[second] == pytest.approx(36 * weight / 0.6, abs=1.5)


def test_a_click_on_a_bar_goes_to_its_moment_and_a_look_tells_its_weight(browser: Browser, answers: Path) -> None:
    loaded(browser, answers)
    browser.click("#timeline", at=lane(browser, 4.04))
    assert shown_second(browser) == 4
    assert browser.evaluate("document.querySelector('#found [aria-pressed=true] span').textContent").endswith("track 4")
    browser.click("#timeline", at=lane(browser, 2.5))
    assert shown_second(browser) == pytest.approx(2.5, abs=0.02)
    browser.point("#timeline", lane(browser, 1))
    browser.wait("!document.getElementById('tip').hidden")
    assert browser.text("#tip") == "0:01.00, shot 1attended with 60.0 %"


def test_another_prediction_has_other_moments_and_an_address(browser: Browser, answers: Path) -> None:
    loaded(browser, answers)
    browser.click("#predictions li:nth-child(2) button")
    assert shown_second(browser) == 6.5
    assert rows(browser, "#answer .cards b") == ["0:00.095.0 %"]
    browser.wait(f"{BAR_HEIGHT.replace('SECOND', '1')} === 0")
    address = browser.evaluate("location.hash")
    assert address == "#v=film.mov&t=6.50&p=1"
    loaded(browser, answers, "#v=film.mov&t=1.00&p=1")
    assert rows(browser, "#predictions [aria-current] .what") == ["answer phone"]
    assert shown_second(browser) == 1


def test_videos_are_chosen_and_their_texts_stay_texts(browser: Browser, answers: Path) -> None:
    loaded(browser, answers)
    assert rows(browser, "#prediction-video option") == ["film.mov (2)", "gone.mp4 (1)"]
    browser.evaluate(
        "(() => { const picker = document.getElementById('prediction-video'); picker.selectedIndex = 1;"
        " picker.dispatchEvent(new Event('change')); })()"
    )
    assert (browser.text("#video-name"), shown_second(browser)) == ("gone.mp4", 2)
    assert browser.text("#predictions .what") == EVIL[:80]
    assert browser.text(".cards .thumb") == "no picture"
    assert browser.text("#no-masked") == "No track of this video was masked."
    assert not browser.evaluate("document.getElementById('no-masked').hidden")
    browser.open(answers, "#v=other-0001.mp4")
    assert browser.evaluate("document.getElementById('explained-body').hidden")
    assert not browser.evaluate("document.getElementById('no-predictions').hidden || 'pwned' in window")


def test_masked_people_stand_beside_what_the_short_term_model_sees(browser: Browser, answers: Path) -> None:
    loaded(browser, answers)
    assert browser.text("#masked-count") == "1 to 6 of 8 tracks"
    first = rows(browser, "#masked-tracks > li:first-child .scores")
    assert first == ["context 00.40sit0.20", "sit0.80stand0.10"]
    assert rows(browser, "#masked-tracks > li:first-child .common span") == ["sit", "sit"]
    covered = browser.evaluate("getComputedStyle(document.querySelector('#masked-tracks .covered .halo')).fill")
    assert covered == "rgb(21, 24, 27)"
    browser.click("#masked-tracks > li:nth-child(3) .thumb")
    assert shown_second(browser) == 3
    assert browser.evaluate("document.querySelector('#found [aria-pressed=true] span').textContent").endswith("track 2")
    assert browser.text("#masked-tracks .current b").startswith("Track 2")


def test_masked_people_are_on_pages_and_the_chosen_track_finds_its_own(browser: Browser, answers: Path) -> None:
    loaded(browser, answers)
    browser.click("#masked-after")
    assert rows(browser, "#masked-tracks > li > button b span:first-child") == ["Track 6", "Track 7"]
    assert browser.evaluate("document.getElementById('masked-after').disabled")
    browser.click("#masked-before")
    assert browser.text("#masked-count") == "1 to 6 of 8 tracks"
    loaded(browser, answers, "#v=film.mov&t=7.00")
    browser.click("#found li:nth-child(2) button")
    assert browser.text("#masked-tracks .current b").startswith("Track 7")


def test_without_files_nothing_of_it_is_seen(browser: Browser, page: Path) -> None:
    loaded(browser, page, "#v=film.mov")
    assert browser.evaluate("['explained', 'masked'].every((id) => document.getElementById(id).hidden)")
    assert "&p=" not in browser.evaluate("location.hash")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, answers: Path, dark: bool, width: int) -> None:
    browser.size(width, 800, dark=dark, phone=width < 500)
    loaded(browser, answers)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_full_of_predictions_is_quick(browser: Browser, bank: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    many = [
        prediction("film.mov", 0.004 * number, f"class {number}", *(
            moment(float(at_s), 0.01, 0, FIRST[0]["box"]) for at_s in rng.uniform(0, SECONDS, 25).round(2)
        ))
        for number in range(2000)
    ]  # fmt: skip
    files = [write(tmp_path / "e.json", explanations(*many))]
    write_report(str(bank), str(tmp_path / "page.html"), video="film.mov", explained=files)
    opened_s = browser.shortest_open_s(tmp_path / "page.html")
    chosen_ms = browser.evaluate(
        """(async () => {
          const took = [];
          for (let i = 0; i < 10; i++) {
            const began = performance.now();
            document.querySelectorAll("#predictions button")[100 * i].click();
            await new Promise(requestAnimationFrame);
            took.push(performance.now() - began);
          }
          return Math.min(...took);
        })()"""
    )
    assert browser.text("#predictions [aria-current] .what") == "class 900"
    assert opened_s < 5
    assert chosen_ms < 200
    print(f"opened in {opened_s:.2f} s, chosen in {chosen_ms:.0f} ms")
