const MAP_MARGIN = 14;
const [LEAST_PX, MOST_PX] = [240, 420];
const HIT_PX = 12;
const COLOURS_BY = ["video", "shot", "track"];

/** The map of the feature spaces, and the moments most like the chosen one. */
function spaceMap(pick) {
  const canvas = byId("map");
  let map = bank.maps[0] ?? null;
  let by = new Set(map?.video).size > 1 ? "video" : "shot";
  let moment = null;
  let [spanX, spanY] = [1, 1];

  function scale() {
    const [width, height] = [canvas.clientWidth - 2 * MAP_MARGIN, canvas.clientHeight - 2 * MAP_MARGIN];
    const ratio = Math.min(width / spanX, height / spanY);
    const [left, top] = [(canvas.clientWidth - spanX * ratio) / 2, (canvas.clientHeight - spanY * ratio) / 2];
    return (point) => [left + map.x[point] * ratio, top + (spanY - map.y[point]) * ratio];
  }

  function colour(point) {
    if (by === "video") return colourOf(map.video[point]);
    if (map.video[point] !== moment?.place) return null;
    if (by === "track") return colourOf(map.track[point]);
    return colourOf(shotAt(detailOf(moment.place).shots, map.at_s[point]));
  }

  const redraw = soon(() => {
    if (!map) return;
    [spanX, spanY] = [Math.max(1, ...map.x), Math.max(1, ...map.y)];
    const fitting = (canvas.clientWidth - 2 * MAP_MARGIN) * (spanY / spanX) + 2 * MAP_MARGIN;
    canvas.style.height = `${Math.min(MOST_PX, Math.max(LEAST_PX, fitting))}px`;
    const context = sharp(canvas, canvas.clientWidth, canvas.clientHeight);
    const place = scale();
    const points = map.x.map((_, point) => point);
    const isOwn = (point) => map.video[point] === moment?.place;
    const radius = map.x.length > 1000 ? 1.8 : 3.2;
    for (const own of [false, true]) {
      for (const point of points) {
        if (isOwn(point) !== own) continue;
        const [x, y] = place(point);
        const paint = colour(point);
        context.globalAlpha = paint === null ? 0.35 : own || by !== "video" ? 1 : 0.55;
        context.fillStyle = paint ?? style("--dot");
        context.beginPath();
        context.arc(x, y, own && by === "video" ? radius + 1 : radius, 0, 7);
        context.fill();
      }
    }
    context.globalAlpha = 1;
    const chosen = nearestPoint();
    if (chosen < 0) return;
    for (const [colour, width] of [[style("--panel"), 6], [style("--accent"), 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.arc(...place(chosen), radius + 5, 0, 7);
      context.stroke();
    }
  });

  /** The point of the chosen video nearest in time, of the chosen track where it has any. */
  function nearestPoint() {
    let best = -1;
    const distance = (point) =>
      Math.abs(map.at_s[point] - moment.at_s) + (moment.track !== null && map.track[point] !== moment.track ? 1e6 : 0);
    for (let point = 0; moment && point < map.x.length; point++) {
      if (map.video[point] === moment.place && (best < 0 || distance(point) < distance(best))) best = point;
    }
    return best;
  }

  function under(event) {
    const place = scale();
    let [best, least] = [-1, HIT_PX ** 2];
    for (let point = 0; point < map.x.length; point++) {
      const [x, y] = place(point);
      const squared = (x - event.offsetX) ** 2 + (y - event.offsetY) ** 2;
      if (squared < least) [best, least] = [point, squared];
    }
    return best;
  }

  const momentOf = (point) => [map.video[point], map.at_s[point], map.track[point]];
  const go = ([place, at_s, track]) => pick(shown[place], at_s, track);
  const describe = ([, at_s, track]) => clock(at_s, 1) + (track === null ? "" : `, track ${track}`);

  function thumbnail([place, at_s]) {
    const detail = detailOf(place);
    const picture = pictureNear(detail, at_s);
    return picture < 0 ? null : detail.pictures.data[picture];
  }

  function card(like) {
    const picture = thumbnail(like);
    const name = shown[like[0]].video_id;
    return make(
      "li",
      {},
      make(
        "button",
        { on: { click: () => go(like) } },
        make("span", { className: "thumb" }, picture ? make("img", { src: picture, alt: "" }) : "no picture"),
        make("b", { textContent: name, title: name }),
        make("small", {}, make("span", { textContent: describe(like) }), make("span", { textContent: like[3].toFixed(3) })),
      ),
    );
  }

  function showSimilar() {
    const from = map ? nearestPoint() : -1;
    const similar = from < 0 ? [] : map.similar[from];
    byId("similar").replaceChildren(...similar.map(card));
    const note = byId("similar-note");
    if (from < 0) note.textContent = "This feature space has no rows for this video.";
    else if (!similar.length) note.textContent = "There is no other shot to compare with.";
    else {
      note.textContent =
        `Like ${describe(momentOf(from))} in ${map.name}, one of a shot and none of the same shot. Found ${map.similar_how}.`;
    }
  }

  function showMap() {
    const share = (value) => `${(100 * value).toFixed(0)} %`;
    const sampled = map.rows > map.x.length ? `${count(map.x.length)} of ${counted(map.rows, "row")}, evenly sampled` : counted(map.rows, "row");
    const repeated = by === "video" && shown.length > bank.colours.length ? " Colours repeat." : "";
    byId("map-note").textContent =
      `First two principal components of ${sampled}, each scaled to length 1: ${share(map.explained[0])} and ` +
      `${share(map.explained[1])} of the variance.${repeated}`;
    for (const button of byId("colour-by").children) {
      button.setAttribute("aria-checked", button.value === by);
      button.disabled = button.value === "track" && map.track.every((track) => track === null);
    }
    redraw();
    showSimilar();
  }

  function setUp() {
    byId("space").append(...bank.maps.map((one, i) => make("option", { value: i, textContent: one.name })));
    byId("space").addEventListener("change", (event) => {
      map = bank.maps[event.target.value];
      if (by === "track" && map.track.every((track) => track === null)) by = "shot";
      showMap();
    });
    byId("colour-by").append(
      ...COLOURS_BY.map((name) => {
        const choose = () => {
          by = name;
          showMap();
        };
        const button = make("button", { value: name, textContent: name, on: { click: choose } });
        button.setAttribute("role", "radio");
        return button;
      }),
    );
    canvas.addEventListener("click", (event) => {
      const point = under(event);
      if (point >= 0) go(momentOf(point));
    });
    canvas.addEventListener("pointermove", (event) => {
      const point = event.pointerType === "mouse" ? under(event) : -1;
      if (point < 0) tip.hide();
      else tip.show(event, thumbnail(momentOf(point)), shown[map.video[point]].video_id, describe(momentOf(point)));
    });
    canvas.addEventListener("pointerleave", tip.hide);
    new ResizeObserver(redraw).observe(canvas);
    isDark.addEventListener("change", redraw);
    showMap();
  }

  byId("spaces-pair").hidden = !map;
  if (map) setUp();
  return {
    /** Marks a moment, or with place null none. */
    mark(place, at_s, track) {
      moment = place === null ? null : { place, at_s, track };
      if (!map) return;
      redraw();
      showSimilar();
    },
  };
}
