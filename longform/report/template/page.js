const NAMED_GAPS = 8;
const state = { video: null, at_s: 0, track: null, prediction: null };
const list = videoList((video) => open(video));
const view = momentView((track) => go(state.at_s, track));
const line = timeLine((at_s, track) => go(at_s, track));
const predictions = predictionsView({ open: openPredictions, choose: choosePrediction, go });
const masked = maskedView(go);
const map = spaceMap((video, at_s, track) => open(video, at_s, track));

function factsOf(video) {
  const facts = [];
  if (video.duration_s !== null) facts.push(clock(video.duration_s, 2));
  if (video.width) facts.push(`${video.width} × ${video.height}`);
  if (video.fps) facts.push(`${+video.fps.toFixed(3)} fps${video.is_vfr ? ", variable" : ""}`);
  if (video.num_frames) facts.push(counted(video.num_frames, "frame"));
  if (video.codec) facts.push(`${video.codec} in ${video.container}`);
  if (video.rotation_deg) facts.push(`turned ${video.rotation_deg}°`);
  if (video.source_bytes) facts.push(size(video.source_bytes));
  return [...facts, video.uri];
}

/** When a damaged video has no pictures, in words. */
function gapsOf(video) {
  if (!video.gaps.length) return "";
  const spans = video.gaps.slice(0, NAMED_GAPS).map((gap) => `${clock(gap.start_s, 2)} to ${clock(gap.end_s, 2)}`);
  const more = video.gaps.length + video.gaps_left_out - spans.length;
  return `. No pictures from ${spans.join(", ")}${more ? ` and ${counted(more, "more span")}` : ""}`;
}

function notesOf(video) {
  if (video.status !== "ok") {
    const where = video.error_at_s === null ? "" : ` at ${clock(video.error_at_s, 2)}`;
    return [`Failed at stage ${video.error_stage}${where}. ${video.error_class}: ${video.error_message}`];
  }
  const notes = video.damage ? [`Damaged: ${video.damage}${gapsOf(video)}`] : [];
  if (video.shown === undefined) return [...notes, "This video is in the list only: make a page of its own with --video."];
  const detail = detailOf(video.shown);
  return [...notes, ...detail.notes, ...(detail.pictures.note ? [detail.pictures.note] : [])];
}

/** Shows a video at a moment; without one, in the middle of its first shot. */
function open(video, at_s = null, track = null) {
  if (video !== state.video) {
    state.video = video;
    byId("video-name").textContent = video.video_id;
    byId("video-facts").replaceChildren(...factsOf(video).map((text) => make("span", { textContent: text })));
    byId("video-notes").replaceChildren(...notesOf(video).map((text) => make("p", { className: "warning", textContent: text })));
    byId("detail").hidden = video.shown === undefined;
    list.mark(video);
    if (video.shown !== undefined) openDetail(video, detailOf(video.shown));
  }
  if (video.shown === undefined) {
    map.mark(null, 0, null);
    address();
  } else go(at_s ?? keyMoment(detailOf(video.shown), 0), track);
}

function openDetail(video, detail) {
  line.open(video, detail);
  predictions.open(video, detail);
  masked.open(video, detail);
  state.prediction = detail.predictions.length ? 0 : null;
  if (state.prediction !== null) markPrediction(false);
}

function markPrediction(closer) {
  predictions.mark(state.prediction);
  line.attend(detailOf(state.video.shown).predictions[state.prediction], closer);
}

/** Shows what a prediction attended to, and its own moment. */
function choosePrediction(number) {
  state.prediction = number;
  markPrediction(true);
  go(detailOf(state.video.shown).predictions[number].at_s);
}

/** To the first prediction of a video. */
function openPredictions(video) {
  open(video);
  choosePrediction(0);
}

function go(at_s, track = null) {
  const { video } = state;
  Object.assign(state, { at_s, track });
  view.show(video, detailOf(video.shown), at_s, track);
  line.mark(at_s, track);
  masked.mark(track);
  map.mark(video.shown, at_s, track);
  address();
}

/** Keeps the moment in the address, so that it can be sent to somebody. */
function address() {
  const moment = state.video.shown === undefined ? "" : `&t=${state.at_s.toFixed(2)}`;
  const prediction = state.prediction ? `&p=${state.prediction}` : "";
  history.replaceState(null, "", `#v=${encodeURIComponent(state.video.video_id)}${moment}${prediction}`);
}

/** To the shot `by` places on. */
function stepShot(by) {
  if (state.video?.shown === undefined) return;
  const detail = detailOf(state.video.shown);
  const shot = shotAt(detail.shots, state.at_s) + by;
  if (shot < 0 || shot >= detail.shots.start_s.length) return;
  go(keyMoment(detail, shot));
}

function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const video = bank.list.find((entry) => entry.video_id === given.get("v"));
  const at_s = Number.parseFloat(given.get("t"));
  if (!video) return false;
  open(video, Number.isFinite(at_s) ? Math.min(Math.max(0, at_s), video.duration_s ?? 0) : null);
  const number = Number.parseInt(given.get("p"), 10);
  if (number > 0 && number < (video.predictions ?? 0)) {
    state.prediction = number;
    markPrediction(false);
    address();
  }
  return true;
}

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && isTyping) event.target.blur();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowLeft") stepShot(-1);
  else if (event.key === "ArrowRight") stepShot(1);
  else if (event.key === "/" && !bank.one) byId("filter").focus();
  else return;
  event.preventDefault();
});
byId("previous").addEventListener("click", () => stepShot(-1));
byId("next").addEventListener("click", () => stepShot(1));
addEventListener("hashchange", fromAddress);

byId("kind").textContent = bank.one ? "Video in a feature bank" : "Feature bank";
byId("title").textContent = bank.title;
byId("timeline-hint").textContent = "Arrow keys: shots. Ctrl and wheel: zoom. Drag: move.";
byId("videos").hidden = bank.one;
byId("main").classList.toggle("one", bank.one);
showFigures();
showBank((video) => {
  open(video);
  byId("video").scrollIntoView();
});
const explained = shown.find((video) => video.predictions);
const first = explained ?? shown.find((video) => video.masked) ?? shown[0] ?? bank.list[0];
if (!fromAddress() && first) (explained ? openPredictions : open)(first);
byId("video").hidden = !first;
