const ATTENTION_PX = 40;

/** The lane of the time line that shows how much a prediction attended to each moment. */
function attentionLane() {
  let [columns, total, at_s, window] = [[], 1, 0, null];
  const isEmpty = () => !columns.length;

  /** Moments of one time, stacked: {at_s, total, parts: [weight, track]}. */
  function stacked(moments) {
    const found = new Map();
    for (const [time, weight, track] of moments) {
      if (!found.has(time)) found.set(time, { at_s: time, total: 0, parts: [] });
      found.get(time).total += weight;
      found.get(time).parts.push([weight, track]);
    }
    return [...found.values()].sort((a, b) => a.at_s - b.at_s);
  }

  function barWidth(x) {
    const gaps = columns.slice(1).map((column, i) => column.at_s - columns[i].at_s);
    const least = Math.min(Infinity, ...gaps);
    return Math.max(2, Math.min(14, x(least) - x(0) - 1));
  }

  return {
    height: () => (isEmpty() ? 0 : ATTENTION_PX + 6),
    show(prediction) {
      columns = prediction ? stacked(prediction.moments) : [];
      total = Math.max(1e-12, ...columns.map((column) => column.total));
      at_s = prediction?.at_s ?? 0;
      window = prediction ? windowOf(prediction) : null;
    },
    /** From the first to the last attended moment, the predicted one included; null without any. */
    extent: () => (isEmpty() ? null : [Math.min(at_s, columns[0].at_s), Math.max(at_s, columns.at(-1).at_s)]),
    draw(context, x, width, top) {
      if (isEmpty()) return;
      const bottom = top + ATTENTION_PX;
      const [from, to] = window ?? [columns[0].at_s, columns.at(-1).at_s];
      const left = Math.max(0, x(from));
      context.fillStyle = style("--sunk");
      context.fillRect(left, top, Math.max(0, Math.min(width, x(to)) - left), ATTENTION_PX);
      const bar = barWidth(x);
      for (const column of columns) {
        let y = bottom;
        for (const [weight, track] of column.parts) {
          const tall = (weight / total) * (ATTENTION_PX - 4);
          context.globalAlpha = 0.4 + 0.6 * (column.total / total);
          context.fillStyle = track === null ? style("--ink") : colourOf(track);
          context.fillRect(x(column.at_s) - bar / 2, y - tall, bar, tall);
          y -= tall;
        }
      }
      context.globalAlpha = 1;
      context.fillStyle = style("--line");
      context.fillRect(0, bottom, width, 1);
      const asked = x(at_s);
      context.fillStyle = style("--ink");
      context.beginPath();
      context.moveTo(asked - 5, bottom + 6);
      context.lineTo(asked + 5, bottom + 6);
      context.lineTo(asked, bottom);
      context.fill();
    },
    /** The moments at a place of the lane, or null. */
    at(px, x) {
      let best = null;
      const distance = (column) => Math.abs(x(column.at_s) - px);
      for (const column of columns) if (!best || distance(column) < distance(best)) best = column;
      return best && distance(best) <= Math.max(5, barWidth(x)) ? best : null;
    },
  };
}
