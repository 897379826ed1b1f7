const TAG_PX = 16;
const LETTER_PX = 6.7;

/** Boxes `first` to `end` in the order to draw them: those of tracks and the surest last, on top of the others. */
function drawingOrder(boxes, { first, end }) {
  const order = Array.from({ length: end - first }, (_, i) => first + i);
  const isTracked = (i) => Number(boxes.track[i] !== null);
  return order.sort((i, j) => isTracked(i) - isTracked(j) || boxes.score[i] - boxes.score[j]);
}

/** The tag of a box: above it, inside it at the upper border, and to the left from its right side at the right border. */
function tagOf([x0, y0, x1], text, colour) {
  const width = text.length * LETTER_PX + 8;
  const [x, left] = x0 < 0.88 ? [x0, -1] : [x1, 1 - width];
  const top = y0 < 0.06 ? 0 : -TAG_PX;
  return drawn(
    "svg",
    { x: `${100 * x}%`, y: `${100 * y0}%`, overflow: "visible" },
    drawn("rect", { x: left, y: top, width, height: TAG_PX, fill: colour, rx: 2 }),
    drawn("text", { x: left + 4, y: top + 12 }, text),
  );
}

/** Draws boxes of a frame into an SVG; `near` where the picture behind is another frame. */
function drawBoxes(svg, boxes, hit, near, chosen) {
  svg.replaceChildren();
  if (!hit) return;
  for (const i of drawingOrder(boxes, hit)) {
    const [x0, y0, x1, y1] = boxes.box[i];
    const percent = (value) => `${100 * value}%`;
    const place = { x: percent(x0), y: percent(y0), width: percent(x1 - x0), height: percent(y1 - y0), rx: 2 };
    const colour = colourOf(boxes.track[i]);
    const isFaint = chosen !== null && boxes.track[i] !== chosen;
    const text = boxes.track[i] === null ? boxes.label[i] : `${boxes.track[i]} ${boxes.label[i]}`;
    svg.append(
      drawn(
        "g",
        { opacity: isFaint ? 0.45 : 1, "data-track": boxes.track[i] ?? "" },
        drawn("rect", { ...place, class: "halo" }),
        drawn("rect", { ...place, class: near ? "outline near" : "outline", stroke: colour }),
        tagOf(boxes.box[i], text, colour),
      ),
    );
  }
}

/** The frame on show, counted from the start of its shot at the mean rate. */
function frameAt(video, shots, shot, at_s) {
  const frame = shots.start_frame[shot] + Math.floor((at_s - shots.start_s[shot]) * (video.fps || 0) + 1e-3);
  return Math.min(Math.max(0, (video.num_frames || 1) - 1), frame);
}

/** The chosen moment: its picture with boxes, its time, and what was found there. */
function momentView(chooseTrack) {
  const screen = byId("screen");
  let shape = 16 / 9;

  function fit() {
    const width = Math.min(screen.parentElement.clientWidth, shape * Math.min(460, innerHeight * 0.62));
    screen.style.width = `${width}px`;
    screen.style.height = `${width / shape}px`;
  }
  new ResizeObserver(fit).observe(screen.parentElement);

  function showPicture(detail, hit, at_s, track) {
    const place = pictureNear(detail, hit ? hit.at_s : at_s);
    const picture = byId("picture");
    picture.hidden = place < 0;
    if (place >= 0) picture.src = detail.pictures.data[place];
    else picture.removeAttribute("src");
    const frame = place < 0 ? null : detail.pictures.frame[place];
    const isOther = Boolean(hit) && frame !== null && frame !== hit.frame;
    screen.classList.toggle("other", isOther);
    byId("no-picture").textContent = place < 0 ? detail.pictures.note || "No picture of this shot on the page." : "";
    drawBoxes(byId("boxes"), detail.boxes, hit, isOther, track);
    const of = (what, entry) => `${what} of ${clock(entry.at_s, 2)}, frame ${count(entry.frame)}`;
    const pictured = frame === null ? null : { at_s: detail.pictures.at_s[place], frame };
    const isSame = pictured && hit && !isOther;
    const lines = isSame ? [of("Picture and boxes", hit)] : [pictured && of("Picture", pictured), hit && of("Boxes", hit)];
    byId("caption").textContent = lines.filter(Boolean).join(". ");
  }

  function showFound(detail, hit, chosen) {
    const { score, label, track } = detail.boxes;
    const items = [];
    for (let i = hit?.first ?? 0; i < (hit?.end ?? 0); i++) {
      const swatch = make("i");
      swatch.style.background = colourOf(track[i]);
      const name = track[i] === null ? `${label[i]}, no track` : `${label[i]}, track ${track[i]}`;
      const button = make(
        "button",
        {
          title: "Show only this track",
          disabled: track[i] === null,
          aria: { pressed: chosen !== null && track[i] === chosen },
          on: { click: () => chooseTrack(track[i] === chosen ? null : track[i]) },
        },
        swatch,
        make("span", { textContent: name }),
        make("small", { textContent: score[i].toFixed(2) }),
      );
      items.push(make("li", {}, button));
    }
    const nothing = detail.boxes.at_s.length ? "No detections within a second, in this shot." : "No detections in this video.";
    byId("found").replaceChildren(...(items.length ? items : [make("li", { className: "none", textContent: nothing })]));
  }

  return {
    show(video, detail, at_s, track) {
      shape = video.width && video.height ? video.width / video.height : 16 / 9;
      fit();
      const hit = boxesNear(detail, at_s);
      const shot = shotAt(detail.shots, at_s);
      const isExact = hit !== null && Math.abs(hit.at_s - at_s) < 1e-3;
      const frame = isExact ? hit.frame : frameAt(video, detail.shots, shot, at_s);
      showPicture(detail, hit, at_s, track);
      showFound(detail, hit, track);
      byId("clock").textContent = clock(at_s, 2);
      const facts = [["frame", `${video.is_vfr && !isExact ? "about " : ""}${count(frame)} of ${count(video.num_frames || 0)}`]];
      if (detail.shots.found) {
        const span = `${clock(detail.shots.start_s[shot])} to ${clock(detail.shots.end_s[shot])}`;
        facts.push(["shot", `${count(shot + 1)} of ${count(detail.shots.start_s.length)}`], ["from", span]);
      } else facts.push(["shots", "none extracted"]);
      byId("moment-facts").replaceChildren(
        ...facts.flatMap(([name, text]) => [make("dt", { textContent: name }), make("dd", { textContent: text })]),
      );
    },
  };
}
