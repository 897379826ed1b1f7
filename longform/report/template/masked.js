const CARDS_AT_ONCE = 6;

/** Tracks that were masked one after the other: what context alone gave, beside what the short-term model sees. */
function maskedView(go) {
  const list = byId("masked-tracks");
  let [video, detail, from, current] = [null, null, 0, null];
  byId("masked").hidden = !bank.masked.length;
  byId("masked-files").textContent = bank.masked
    .map(({ name, space, activation }) => [name, space, activation && `scores by ${activation}`].filter(Boolean).join(", "))
    .join("; ");

  function answers(title, scores, scale, common) {
    return make("div", {}, make("h5", { textContent: title }), scoreBars(scores, scale, common));
  }

  function card(entry) {
    const { track, at_s, box, start_s, end_s, boxes, span_s, context, short_term: shortTerm } = entry;
    const names = new Set(shortTerm.map(([name]) => name));
    const common = new Set(context.map(([name]) => name).filter((name) => names.has(name)));
    const scale = largest([...context, ...shortTerm]);
    const button = make(
      "button",
      { title: "Go to this moment", on: { click: () => go(at_s, track) } },
      keyFrame(video, detail, { at_s, box, colour: colourOf(track), isMasked: true }),
      make("b", {}, make("span", { textContent: `Track ${track}` }), make("span", { textContent: clock(at_s) })),
      make("small", { textContent: `${count(boxes)} ${boxes === 1 ? "box" : "boxes"} hidden, ${fromTo(start_s, end_s)}` }),
      make("small", { textContent: `all others seen, ${fromTo(...span_s)}` }),
    );
    const item = make("li", {}, button, answers("From context alone", context, scale, common), answers("Short-term model", shortTerm, scale, common));
    item.classList.toggle("current", track === current);
    return item;
  }

  function draw() {
    const all = detail.masked;
    const end = Math.min(all.length, from + CARDS_AT_ONCE);
    list.replaceChildren(...all.slice(from, end).map(card));
    byId("masked-count").textContent = all.length ? `${count(from + 1)} to ${count(end)} of ${counted(all.length, "track")}` : "";
    byId("masked-before").disabled = from === 0;
    byId("masked-after").disabled = end === all.length;
    byId("masked-pages").hidden = all.length <= CARDS_AT_ONCE;
    byId("no-masked").hidden = all.length > 0;
  }

  function turn(by) {
    from += by * CARDS_AT_ONCE;
    draw();
  }
  byId("masked-before").addEventListener("click", () => turn(-1));
  byId("masked-after").addEventListener("click", () => turn(1));

  return {
    open(newVideo, newDetail) {
      [video, detail, from, current] = [newVideo, newDetail, 0, null];
      if (bank.masked.length) draw();
    },
    /** Shows the card of a track that was masked. */
    mark(track) {
      if (!bank.masked.length || track === current) return;
      current = track;
      const place = detail.masked.findIndex((entry) => entry.track === track);
      if (place >= 0) from = place - (place % CARDS_AT_ONCE);
      draw();
    },
  };
}
