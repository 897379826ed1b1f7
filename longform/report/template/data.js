const bank = JSON.parse(byId("bank").textContent);
const shown = bank.list.filter((video) => video.shown !== undefined);
const details = new Map();

/** Shots, tracks, boxes and pictures of a shown video; parsed when first asked for. */
function detailOf(place) {
  if (!details.has(place)) details.set(place, JSON.parse(byId(`video-${place}`).textContent));
  return details.get(place);
}

const images = new WeakMap();

/** A picture as a canvas can draw it, or null until it is loaded; then `ready` is called. */
function imageOf(pictures, index, ready) {
  if (!images.has(pictures)) images.set(pictures, []);
  const known = images.get(pictures);
  if (!known[index]) {
    known[index] = new Image();
    known[index].addEventListener("load", ready);
    known[index].src = pictures.data[index];
  }
  return known[index].complete && known[index].naturalWidth ? known[index] : null;
}

/** Place of the last value not above `value` in an ascending list; -1 if there is none. */
function lastNotAbove(values, value) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Place of the nearest value in an ascending list within [from, to); -1 if there is none. */
function nearest(values, value, from = -Infinity, to = Infinity) {
  const before = lastNotAbove(values, value);
  let best = -1;
  for (const place of [before, before + 1]) {
    const inside = place >= 0 && place < values.length && values[place] >= from && values[place] < to;
    if (inside && (best < 0 || Math.abs(values[place] - value) < Math.abs(values[best] - value))) best = place;
  }
  return best;
}

const shotAt = (shots, seconds) => Math.max(0, lastNotAbove(shots.start_s, seconds));

/** First frame time of the shot after, or the end of all. */
const endOfShot = (shots, shot) => (shot + 1 < shots.start_s.length ? shots.start_s[shot + 1] : Infinity);

/** The picture nearest in time within the shot; -1 if the shot has none. */
function pictureNear(detail, seconds) {
  const shot = shotAt(detail.shots, seconds);
  return nearest(detail.pictures.at_s, seconds, detail.shots.start_s[shot], endOfShot(detail.shots, shot));
}

/** Time of the picture that stands for a shot: the one nearest to its middle. */
function keyMoment(detail, shot) {
  const { start_s: starts, end_s: ends } = detail.shots;
  const place = pictureNear(detail, (starts[shot] + ends[shot]) / 2);
  return place < 0 ? starts[shot] : detail.pictures.at_s[place];
}

const BOXES_WITHIN_S = 1;

/** Boxes of the frame with detections nearest in time within the shot: {at_s, frame, first, end}, or null. */
function boxesNear(detail, seconds) {
  const { at_s: times, frame: frames } = detail.boxes;
  const shot = shotAt(detail.shots, seconds);
  const hit = nearest(times, seconds, detail.shots.start_s[shot], endOfShot(detail.shots, shot));
  if (hit < 0 || Math.abs(times[hit] - seconds) > BOXES_WITHIN_S) return null;
  let first = hit;
  let end = hit + 1;
  while (first > 0 && frames[first - 1] === frames[hit]) first--;
  while (end < frames.length && frames[end] === frames[hit]) end++;
  return { at_s: times[hit], frame: frames[hit], first, end };
}

const NO_TRACK = "#8a8f96";
const colourOf = (number) => (number === null ? NO_TRACK : bank.colours[number % bank.colours.length]);
