const AXIS_PX = 24;
const STRIP_PX = 58;
const SHOTS_PX = 14;
const TRACKS_PX = 150;
const OVERVIEW_PX = 6;
const TICKS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
const SHORTEST_S = 1;
const SMALL_PART = 0.2;

/** The time line of one video: ticks, pictures, shots, attended moments and tracks, drawn for the visible span only. */
function timeLine(pick) {
  const canvas = byId("timeline");
  const layer = document.createElement("canvas");
  const attention = attentionLane();
  let detail = null;
  let gaps = [];
  let duration = 1;
  let span = [0, 1];
  let playhead = 0;
  let hover = null;
  let track = null;
  let laneCount = 0;
  let shape = 16 / 9;

  const width = () => canvas.clientWidth || 1;
  const x = (seconds) => ((seconds - span[0]) / (span[1] - span[0])) * width();
  const seconds = (px) => Math.min(duration, Math.max(0, span[0] + (px / width()) * (span[1] - span[0])));
  const isZoomed = () => span[1] - span[0] < duration - 1e-9;
  const laneHeight = () => Math.max(2, Math.min(11, Math.floor(TRACKS_PX / Math.max(1, laneCount))));
  const tracksHeight = () => (laneCount ? Math.min(TRACKS_PX, laneCount * laneHeight()) + 8 : 0);
  const attentionTop = AXIS_PX + STRIP_PX + SHOTS_PX;
  const tracksTop = () => attentionTop + attention.height() + 4;
  const height = () => attentionTop + attention.height() + tracksHeight() + OVERVIEW_PX + 6;

  function drawAxis(context) {
    const step = TICKS_S.find((value) => (value / (span[1] - span[0])) * width() >= 72) ?? TICKS_S.at(-1);
    context.font = `11px ${style("--mono")}`;
    context.textBaseline = "middle";
    for (let tick = Math.ceil(span[0] / step); tick * step <= span[1]; tick++) {
      const left = x(tick * step);
      context.fillStyle = style("--line");
      context.fillRect(Math.round(left), 14, 1, AXIS_PX - 14);
      context.fillStyle = style("--muted");
      const text = clock(tick * step, step < 1 ? 1 : 0);
      if (left + context.measureText(text).width < width()) context.fillText(text, Math.round(left), 7);
    }
  }

  function drawPicture(context, place, left, right, slot) {
    const image = place < 0 ? null : imageOf(detail.pictures, place, redraw);
    context.save();
    context.beginPath();
    context.rect(left, AXIS_PX, right - left, STRIP_PX);
    context.clip();
    context.fillStyle = style("--sunk");
    context.fillRect(left, AXIS_PX, right - left, STRIP_PX);
    if (image) context.drawImage(image, left, AXIS_PX, slot, STRIP_PX);
    context.restore();
  }

  /** Shots wide enough show their own pictures; of narrower ones, some stand for many. */
  function drawStrip(context) {
    const slot = STRIP_PX * shape;
    const { start_s: starts } = detail.shots;
    let free = -1;
    for (let shot = shotAt(detail.shots, span[0]); shot < starts.length && starts[shot] < span[1]; shot++) {
      const [left, right] = [x(starts[shot]), x(Math.min(duration, endOfShot(detail.shots, shot)))];
      if (right - left < 20) {
        if (left < free || right < 0) continue;
        free = left + slot + 1;
        const place = nearest(detail.pictures.at_s, seconds(left + slot / 2), seconds(left), seconds(free));
        drawPicture(context, place, left, left + slot, slot);
        continue;
      }
      const tiles = Math.max(1, Math.round((right - left) / slot));
      for (let tile = 0; tile < tiles; tile++) {
        const begin = left + (tile * (right - left)) / tiles;
        const end = left + ((tile + 1) * (right - left)) / tiles;
        const from = Math.max(begin, free);
        if (end > 0 && begin < width() && end > from) {
          const place = pictureNear(detail, seconds((begin + end) / 2));
          drawPicture(context, place, from, end - (tile === tiles - 1 ? 1 : 0), Math.max(slot, end - begin));
        }
      }
    }
  }

  function drawShots(context) {
    const { start_s: starts } = detail.shots;
    const colours = [style("--band"), style("--band-2")];
    const top = AXIS_PX + STRIP_PX + 3;
    for (let shot = shotAt(detail.shots, span[0]); shot < starts.length && starts[shot] < span[1]; shot++) {
      const left = Math.max(0, x(starts[shot]));
      const right = Math.min(width(), x(Math.min(duration, endOfShot(detail.shots, shot))));
      context.fillStyle = colours[shot % 2];
      context.fillRect(left, top, Math.max(0.5, right - left), SHOTS_PX - 5);
    }
  }

  /** Time of which the video has no pictures that can be read, over the strip. */
  function drawGaps(context) {
    context.fillStyle = style("--warning");
    context.globalAlpha = 0.6;
    for (const gap of gaps) {
      if (gap.end_s > span[0] && gap.start_s < span[1]) {
        context.fillRect(x(gap.start_s), AXIS_PX, Math.max(2, x(gap.end_s) - x(gap.start_s)), STRIP_PX);
      }
    }
    context.globalAlpha = 1;
  }

  function drawTracks(context) {
    const tracks = detail.tracks;
    const [lane, top] = [laneHeight(), tracksTop()];
    for (let i = 0; i < tracks.id.length && tracks.start_s[i] <= span[1]; i++) {
      if (tracks.end_s[i] < span[0]) continue;
      const y = top + tracks.lane[i] * lane;
      if (y + lane > top + TRACKS_PX) continue;
      const left = x(tracks.start_s[i]);
      context.globalAlpha = track === null || track === tracks.id[i] ? 1 : 0.25;
      context.fillStyle = colourOf(tracks.id[i]);
      context.fillRect(left, y, Math.max(3, x(tracks.end_s[i]) - left), Math.max(1.5, lane - 2));
    }
    context.globalAlpha = 1;
  }

  function drawOverview(context) {
    const top = height() - OVERVIEW_PX;
    context.fillStyle = style("--sunk");
    context.fillRect(0, top, width(), OVERVIEW_PX);
    if (!isZoomed()) return;
    context.fillStyle = style("--muted");
    const left = (span[0] / duration) * width();
    context.fillRect(left, top, Math.max(4, ((span[1] - span[0]) / duration) * width()), OVERVIEW_PX);
  }

  function drawMarks() {
    const context = sharp(canvas, width(), height());
    context.drawImage(layer, 0, 0, width(), height());
    if (hover !== null) {
      context.fillStyle = style("--muted");
      context.fillRect(Math.round(hover), 14, 1, height() - OVERVIEW_PX - 18);
    }
    const at = Math.round(x(playhead));
    context.fillStyle = style("--accent");
    context.fillRect(at - 1, 14, 2, height() - OVERVIEW_PX - 18);
    context.beginPath();
    context.moveTo(at - 5, 14);
    context.lineTo(at + 5, 14);
    context.lineTo(at, 21);
    context.fill();
  }

  const remark = soon(drawMarks);
  const redraw = soon(() => {
    if (!detail) return;
    canvas.style.height = `${height()}px`;
    const context = sharp(layer, width(), height());
    for (const draw of [drawAxis, drawStrip, drawGaps, drawShots, drawTracks, drawOverview]) draw(context);
    attention.draw(context, x, width(), attentionTop);
    drawMarks();
  });

  /** Shows [from, from + length), moved and cut to lie within the video. */
  function look(from, length) {
    const fitted = Math.min(duration, Math.max(Math.min(SHORTEST_S, duration), length));
    const begin = Math.min(duration - fitted, Math.max(0, from));
    span = [begin, begin + fitted];
    redraw();
  }

  function zoom(factor, around = playhead) {
    const length = (span[1] - span[0]) * factor;
    look(around - ((around - span[0]) / (span[1] - span[0])) * length, length);
  }

  function trackAt(px, py) {
    const lane = Math.floor((py - tracksTop()) / laneHeight());
    const { lane: lanes, start_s: starts, end_s: ends, id } = detail.tracks;
    if (lane < 0) return null;
    const found = id.findIndex((_, i) => lanes[i] === lane && x(starts[i]) - 3 <= px && px <= Math.max(x(ends[i]), x(starts[i]) + 3) + 3);
    return found < 0 ? null : found;
  }

  const attendedAt = (px, py) => (py < attentionTop || py >= tracksTop() ? null : attention.at(px, x));

  function explain(event) {
    const attended = attendedAt(event.offsetX, event.offsetY);
    const at_s = attended ? attended.at_s : seconds(event.offsetX);
    const shot = shotAt(detail.shots, at_s);
    const place = pictureNear(detail, at_s);
    const found = trackAt(event.offsetX, event.offsetY);
    const tracks = detail.tracks;
    tip.show(
      event,
      place < 0 ? null : detail.pictures.data[place],
      `${clock(at_s, 2)}${detail.shots.found ? `, shot ${count(shot + 1)}` : ""}`,
      found === null ? "" : `${tracks.label[found]}, track ${tracks.id[found]}: ${clock(tracks.start_s[found])} to ` +
        `${clock(tracks.end_s[found])}, ${counted(tracks.boxes[found], "detection")}`,
      attended && `attended with ${percent(attended.total)}`,
    );
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    const isOverview = isZoomed() && event.offsetY > height() - OVERVIEW_PX - 4;
    drag = { x: event.offsetX, from: span[0], moved: false, isOverview };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!detail) return;
    const length = span[1] - span[0];
    if (drag && (drag.moved || Math.abs(event.offsetX - drag.x) > 4)) {
      drag.moved = true;
      const by = (event.offsetX - drag.x) / width();
      look(drag.isOverview ? drag.from + by * duration : drag.from - by * length, length);
      tip.hide();
    } else if (event.pointerType === "mouse") {
      hover = event.offsetX;
      explain(event);
      remark();
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    const length = span[1] - span[0];
    if (drag && !drag.moved && drag.isOverview) look((event.offsetX / width()) * duration - length / 2, length);
    else if (drag && !drag.moved) {
      const attended = attendedAt(event.offsetX, event.offsetY);
      const found = trackAt(event.offsetX, event.offsetY);
      if (attended) pick(attended.at_s, attended.parts[0][1]);
      else pick(seconds(event.offsetX), found === null ? null : detail.tracks.id[found]);
    }
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => (drag = null));
  canvas.addEventListener("pointerleave", () => {
    hover = null;
    tip.hide();
    remark();
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
      event.preventDefault();
      if (event.ctrlKey) zoom(Math.exp(event.deltaY / 200), seconds(event.offsetX));
      else look(span[0] + ((event.deltaX || event.deltaY) / width()) * (span[1] - span[0]), span[1] - span[0]);
    },
    { passive: false },
  );
  byId("zoom-in").addEventListener("click", () => zoom(0.5));
  byId("zoom-out").addEventListener("click", () => zoom(2));
  byId("zoom-all").addEventListener("click", () => look(0, duration));
  new ResizeObserver(redraw).observe(canvas);
  isDark.addEventListener("change", redraw);

  return {
    open(video, newDetail) {
      detail = newDetail;
      gaps = video.gaps;
      duration = Math.max(video.duration_s || 0, detail.shots.end_s.at(-1), 0.001);
      laneCount = detail.tracks.lane.reduce((most, lane) => Math.max(most, lane + 1), 0);
      shape = Math.min(2, Math.max(0.5, video.width / video.height || 16 / 9));
      attention.show(null);
      canvas.setAttribute("aria-valuemax", duration.toFixed(2));
      look(0, duration);
    },
    /** Marks what a prediction attended to; with `closer`, zooms in where that is a small part of what is visible. */
    attend(prediction, closer) {
      attention.show(prediction);
      const extent = attention.extent();
      const length = extent ? extent[1] - extent[0] : 0;
      if (closer && length && (length < SMALL_PART * (span[1] - span[0]) || extent[0] < span[0] || extent[1] > span[1])) {
        look(extent[0] - length, 3 * length);
      } else redraw();
    },
    mark(at_s, newTrack) {
      const isOutside = at_s < span[0] || at_s > span[1];
      playhead = at_s;
      canvas.setAttribute("aria-valuenow", at_s.toFixed(2));
      canvas.setAttribute("aria-valuetext", clock(at_s, 2));
      if (isOutside) look(at_s - (span[1] - span[0]) / 2, span[1] - span[0]);
      if (track !== newTrack) redraw();
      track = newTrack;
      remark();
    },
  };
}
