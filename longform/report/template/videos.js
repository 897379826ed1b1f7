const ROW_PX = 46;
const SPARE_ROWS = 6;

/** The list of videos. Only rows in sight are in the page, so that it may be long. */
function videoList(choose) {
  const [box, list] = [byId("rows"), byId("row-list")];
  let matching = bank.list;
  let current = null;

  function describe(video) {
    if (video.status !== "ok") return `failed at ${video.error_stage}: ${video.error_class}`;
    const parts = [clock(video.duration_s ?? 0, 0), counted(video.rows.shots, "shot"), counted(video.rows.tracks, "track")];
    return (video.damage ? ["damaged", ...parts] : parts).join(" · ");
  }

  function row(video, place) {
    const kind = video.status !== "ok" ? "failed" : video.damage ? "damaged" : video.shown === undefined ? "listed" : "";
    const button = make(
      "button",
      { title: video.uri, on: { click: () => choose(video) } },
      make("b", { textContent: video.video_id }),
      make("small", { textContent: describe(video) }),
    );
    if (video === current) button.setAttribute("aria-current", "true");
    const item = make("li", { className: kind }, button);
    item.style.top = `${place * ROW_PX}px`;
    return item;
  }

  const draw = soon(() => {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW_PX) - SPARE_ROWS);
    const end = Math.min(matching.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW_PX) + SPARE_ROWS);
    list.replaceChildren(...matching.slice(first, end).map((video, i) => row(video, first + i)));
  });

  function filter() {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    matching = bank.list.filter((video) => {
      const text = `${video.video_id} ${video.uri} ${video.status}${video.damage ? " damaged" : ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const all = count(bank.list.length);
    byId("count").textContent = words.length ? `${count(matching.length)} of ${all} videos` : counted(bank.list.length, "video");
    list.style.height = `${matching.length * ROW_PX}px`;
    box.scrollTop = 0;
    draw();
  }

  byId("filter").addEventListener("input", filter);
  box.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(draw).observe(box);
  filter();
  return {
    mark(video) {
      current = video;
      const place = matching.indexOf(video);
      const top = place * ROW_PX;
      if (place >= 0 && (top < box.scrollTop || top + ROW_PX > box.scrollTop + box.clientHeight)) {
        box.scrollTop = top - box.clientHeight / 2;
      }
      draw();
    },
  };
}
