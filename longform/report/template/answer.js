const PICTURE_WITHIN_S = 0.5;
const percent = (share) => (share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);
const fromTo = (from, to) => (from === to ? `at ${clock(from, 0)}` : `${clock(from, 0)} to ${clock(to, 0)}`);

const shapeOf = (video) => (video.width && video.height ? video.width / video.height : 16 / 9);

/** The picture of a moment with one box; where the person in it was masked, the box is covered. */
function keyFrame(video, detail, { at_s, box, colour, isMasked = false }) {
  const place = pictureNear(detail, at_s);
  const frame = make("span", { className: "thumb" });
  frame.style.aspectRatio = Math.min(2.4, Math.max(0.75, shapeOf(video)));
  if (place < 0) frame.append("no picture");
  else {
    frame.append(make("img", { src: detail.pictures.data[place], alt: "" }));
    const pictured = detail.pictures.at_s[place];
    frame.classList.toggle("other", Math.abs(pictured - at_s) > PICTURE_WITHIN_S);
    if (frame.classList.contains("other")) frame.title = `Picture of ${clock(pictured, 2)}`;
  }
  if (box) {
    const [x0, y0, x1, y1] = box;
    const place = { x: `${100 * x0}%`, y: `${100 * y0}%`, width: `${100 * (x1 - x0)}%`, height: `${100 * (y1 - y0)}%`, rx: 2 };
    const shapes = [drawn("rect", { ...place, class: "halo" }), drawn("rect", { ...place, class: "outline", stroke: colour })];
    frame.append(drawn("svg", { class: isMasked ? "covered" : "" }, ...shapes));
  }
  return frame;
}

/** Classes with their scores as bars; `scale` is the score of a full bar, names in `common` stand out. */
function scoreBars(scores, scale, common = new Set()) {
  const rows = scores.map(([name, score]) => {
    const row = make("li", { className: common.has(name) ? "common" : "" }, make("span", { textContent: name, title: name }));
    row.append(make("small", { textContent: score.toFixed(2) }));
    row.style.setProperty("--share", Math.max(0, Math.min(1, score / scale)));
    return row;
  });
  return make("ul", { className: "scores" }, ...rows);
}

const largest = (scores) => Math.max(1e-9, ...scores.map(([, score]) => score));
