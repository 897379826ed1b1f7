/** A table; a cell is text, a number, or an element. */
function tableOf(heads, rows) {
  const cell = (tag, value) => {
    const isNumber = typeof value === "number";
    const element = make(tag, { className: isNumber ? "number" : "" });
    element.append(isNumber ? count(value) : value);
    return element;
  };
  const numeric = heads.map((_, i) => rows.length > 0 && typeof rows[0][i] === "number");
  const head = make("tr", {}, ...heads.map((text, i) => make("th", { textContent: text, className: numeric[i] ? "number" : "" })));
  const body = rows.map((row) => make("tr", {}, ...row.map((value) => cell("td", value))));
  return make("div", { className: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

function showFigures() {
  const videos = bank.one ? [] : [["videos", count(bank.videos.ok)]];
  if (!bank.one && bank.videos.failed) videos.push(["failed", count(bank.videos.failed), "bad"]);
  if (!bank.one && bank.damaged) videos.push(["damaged", count(bank.damaged)]);
  const features = bank.spaces.reduce((sum, space) => sum + space.rows, 0);
  const rest = [
    ["duration", clock(bank.hours * 3600, 0)],
    ...Object.entries(bank.tables).map(([name, rows]) => [name, count(rows)]),
    ["features", count(features)],
    ["on disk", size(bank.bytes)],
  ];
  byId("figures").append(
    ...(bank.one ? [] : [...videos, ...rest]).map(([name, text, kind = ""]) =>
      make("div", { className: kind }, make("dt", { textContent: name }), make("dd", { textContent: text })),
    ),
  );
}

/** What made a space: its feature card where it has one, else the stage that wrote it. */
function provenance(space) {
  const { card, ...rest } = space.provenance;
  const name = card?.network ?? card?.model ?? rest.kind ?? rest.model ?? "not recorded";
  const title = typeof name === "string" ? name : JSON.stringify(name);
  const text = JSON.stringify(card ?? rest, null, 2);
  return make("details", {}, make("summary", { textContent: title }), make("pre", { textContent: text }));
}

function aboutPage() {
  const left = shown.length < bank.videos.ok && !bank.one ? ` ${count(bank.videos.ok - shown.length)} more are in the list only.` : "";
  const unlisted = bank.videos_in_bank - bank.list.length;
  const cut = unlisted > 0 && !bank.one ? ` The list leaves out ${counted(unlisted, "video")} of the bank.` : "";
  return (
    `${counted(shown.length, "video")} with time line and ${counted(bank.pictures, "picture")} on this page.${left}${cut} ` +
    "Pictures: one of every shot where there is room, then evenly. The page holds everything it shows and loads nothing."
  );
}

const MOST_TROUBLES = 200;

/** Failed or damaged videos as a table; of many, the first. */
function troubles(title, heads, videos, open, describe) {
  if (!videos.length || bank.one) return [];
  const rows = videos.slice(0, MOST_TROUBLES).map((video) => {
    const name = make("button", { className: "link", textContent: video.video_id, on: { click: () => open(video) } });
    return [name, ...describe(video)];
  });
  const more = videos.length - rows.length;
  const note = more > 0 ? [make("p", { className: "note", textContent: `And ${counted(more, "video")} more: filter the list for "${title.toLowerCase()}".` })] : [];
  return [make("h4", { textContent: title }), tableOf(heads, rows), ...note];
}

function showBank(open) {
  const failed = bank.list.filter((video) => video.status !== "ok");
  const damaged = bank.list.filter((video) => video.status === "ok" && video.damage);
  const spaces = bank.spaces.map((space) => [space.name, space.dim, space.rows, provenance(space)]);
  const why = (video) => [video.error_stage ?? "", `${video.error_class}: ${video.error_message}`];
  byId("bank-panel").append(
    make("div", { className: "bar" }, make("h3", { textContent: bank.one ? `In bank ${bank.path}` : "Bank" })),
    make("h4", { textContent: "Feature spaces" }),
    tableOf(["space", "dimension", "rows", "made by"], spaces),
    ...troubles("Failed", ["video", "stage", "error"], failed, open, why),
    ...troubles("Damaged", ["video", "what could not be read"], damaged, open, (video) => [video.damage]),
    make("h4", { textContent: "About this page" }),
    make("p", { className: "facts", textContent: aboutPage() }),
  );
}
