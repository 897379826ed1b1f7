const byId = (id) => document.getElementById(id);

/** An element; `properties` go to the element itself, `children` are elements or text. */
function make(tag, properties = {}, ...children) {
  const { aria = {}, on = {}, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children);
  return element;
}

function drawn(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** 3723.45 as 1:02:03.45; minutes always, hours where there are any. */
function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const ticks = Math.round(seconds * scale);
  const whole = Math.floor(ticks / scale);
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  const rest = digits ? "." + String(ticks % scale).padStart(digits, "0") : "";
  return (hours ? `${hours}:${two(minutes)}` : minutes) + ":" + two(whole % 60) + rest;
}

const count = (value) => value.toLocaleString("en");
const counted = (value, one) => `${count(value)} ${one}${value === 1 ? "" : "s"}`;

function size(bytes) {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(bytes, 1)) / 3)));
  return (bytes / 1000 ** power).toFixed(power ? 1 : 0) + " " + ["bytes", "kB", "MB", "GB", "TB"][power];
}

const isDark = matchMedia("(prefers-color-scheme: dark)");
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Makes the canvas as sharp as the screen; its context, scaled so that one unit is one CSS pixel. */
function sharp(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** Runs `work` once before the next frame, however often it is asked for. */
function soon(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

const tip = {
  show(event, picture, ...lines) {
    const box = byId("tip");
    const image = picture ? [make("img", { src: picture, alt: "" })] : [];
    box.replaceChildren(...image, ...lines.filter(Boolean).map((text) => make("p", { textContent: text })));
    box.hidden = false;
    const x = Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8);
    const below = event.clientY + 18;
    const y = below + box.offsetHeight > innerHeight ? event.clientY - box.offsetHeight - 12 : below;
    box.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
  },
  hide() {
    byId("tip").hidden = true;
  },
};
