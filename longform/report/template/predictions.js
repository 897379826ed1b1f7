const WEIGHTS_OF = {
  nl: "Weights are means over the layers of the operator.",
  max: "A weight is the share of channels whose maximum is there.",
  avg: "The operator averages, so all weights are equal.",
};

/** The seconds that a prediction read, as its file says it; null where it does not. */
function windowOf({ file, at_s }) {
  const { window_s: length, causal } = bank.explained[file];
  if (typeof length !== "number") return null;
  return causal ? [at_s - length, at_s] : [at_s - length / 2, at_s + length / 2];
}

/** Predictions by video and time, and where the chosen one came from. */
function predictionsView({ open, choose, go }) {
  const [picker, list, answer] = [byId("prediction-video"), byId("predictions"), byId("answer")];
  const explained = shown.filter((video) => video.predictions);
  let [video, detail] = [null, null];
  byId("explained").hidden = !bank.explained.length;
  picker.append(
    ...explained.map((one) => make("option", { value: one.shown, textContent: `${one.video_id} (${count(one.predictions)})` })),
  );
  picker.addEventListener("change", () => open(shown[picker.value]));

  function row({ at_s, scores }, number) {
    const [name, score] = scores[0] ?? ["no class", 0];
    const button = make(
      "button",
      { on: { click: () => choose(number) } },
      make("span", { className: "when", textContent: clock(at_s) }),
      make("span", { className: "what", textContent: name, title: name }),
      make("small", { textContent: score.toFixed(2) }),
    );
    return make("li", {}, button);
  }

  function card([at_s, weight, track, box], heaviest, asked_s) {
    const distance = at_s - asked_s;
    const sign = distance < 0 ? "\u2212" : "+";
    const button = make(
      "button",
      { on: { click: () => go(at_s, track) } },
      keyFrame(video, detail, { at_s, box, colour: colourOf(track) }),
      make("b", {}, make("span", { textContent: clock(at_s) }), make("span", { textContent: percent(weight) })),
      make("i", { className: "weight" }),
      make("small", { textContent: `${sign}${Math.abs(distance).toFixed(1)} s${track === null ? "" : `, track ${track}`}` }),
    );
    button.style.setProperty("--share", weight / heaviest);
    return make("li", {}, button);
  }

  function facts({ file }) {
    const { name, dataset, operator, space, window_s, causal } = bank.explained[file];
    const parts = [dataset, operator && `operator ${operator}`, window_s && `${window_s} s${causal ? " before" : ""}`, space, name];
    return parts.filter(Boolean).map((text) => make("span", { textContent: text }));
  }

  function remarks({ file, moments, moments_in_file: all, empty_slots: slots, empty_weight: weight }) {
    const parts = [WEIGHTS_OF[bank.explained[file].operator] ?? ""];
    if (moments.length > bank.pictured_moments) parts.push(`The ${bank.pictured_moments} heaviest of ${count(moments.length)} have a picture, all are on the time line.`);
    if (all > moments.length) parts.push(`The page has room for the ${count(moments.length)} heaviest of ${count(all)} moments.`);
    if (slots) parts.push(`${counted(slots, "empty slot")} of the window took ${percent(weight)}.`);
    return parts.filter(Boolean).join(" ");
  }

  function show(prediction) {
    const { at_s, box, scores, moments } = prediction;
    const heaviest = Math.max(1e-9, moments[0]?.[1] ?? 0);
    const asked = make("button", { title: "Go to the predicted moment", on: { click: () => go(at_s, null) } });
    asked.append(keyFrame(video, detail, { at_s, box, colour: "#ffffff" }));
    const words = make("div", {}, make("p", { className: "clock small", textContent: clock(at_s, 2) }));
    words.append(make("p", { className: "facts" }, ...facts(prediction)), scoreBars(scores, largest(scores)));
    const cards = moments.slice(0, bank.pictured_moments).map((moment) => card(moment, heaviest, at_s));
    answer.replaceChildren(
      make("div", { className: "asked" }, asked, words),
      make("h4", { textContent: "What it attended to" }),
      cards.length ? make("ul", { className: "cards" }, ...cards) : make("p", { className: "note", textContent: "Nothing: its window of the bank was empty." }),
      make("p", { className: "note", textContent: remarks(prediction) }),
    );
  }

  return {
    open(newVideo, newDetail) {
      [video, detail] = [newVideo, newDetail];
      const has = detail.predictions.length > 0;
      picker.value = has ? video.shown : "";
      byId("explained-body").hidden = !has;
      byId("no-predictions").hidden = has;
      list.replaceChildren(...detail.predictions.map(row));
      answer.replaceChildren();
    },
    mark(number) {
      for (const [place, item] of [...list.children].entries()) {
        if (place === number) item.firstChild.setAttribute("aria-current", "true");
        else item.firstChild.removeAttribute("aria-current");
      }
      const row = list.children[number];
      if (row && (row.offsetTop < list.scrollTop || row.offsetTop + row.offsetHeight > list.scrollTop + list.clientHeight)) {
        list.scrollTop = row.offsetTop - list.clientHeight / 2;
      }
      show(detail.predictions[number]);
    },
  };
}
