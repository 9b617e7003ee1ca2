"use strict";
// What needs a script is made here, so that a page without one offers nothing that does not work: buttons to copy,
// tables to sort, filter and copy as CSV, values of a picture's marks, series to switch off, details open in print.

const MIN_ROWS_TO_FILTER = 9;
const MIN_ROWS_TO_SCROLL = 60;
const NEAR = 24; // pixels from a mark within which it is meant
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

function make(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside);
  return element;
}

// Copying. What was done is said where a screen reader hears it.

const heard = make("p", { class: "unseen", role: "status" });
document.querySelector("main").append(heard);

async function copy(text, button, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // an old browser, or a page that may not
    const area = make("textarea", { class: "unseen" }, text);
    button.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const label = button.dataset.label ??= button.textContent;
  button.textContent = "copied";
  heard.textContent = done;
  setTimeout(() => { button.textContent = label; heard.textContent = ""; }, 2000);
}

function copier(what, text, done = () => `${what} copied`) {
  const button = make("button", { type: "button", class: "tool" }, `copy ${what}`);
  button.addEventListener("click", () => copy(text(), button, done()));
  return button;
}

for (const place of all("[data-copy]")) {
  const code = place.querySelector("code");
  place.append(copier(place.dataset.copy, () => code.textContent));
}

// Explanations: at a press without a script; with it also where the pointer rests and where the keyboard stands.

function explain(button, popover) {
  let wait;
  const later = (act, delay) => { clearTimeout(wait); wait = setTimeout(act, delay); };
  const show = () => { clearTimeout(wait); popover.matches(":popover-open") || popover.showPopover({ source: button }); };
  const isMeant = () => popover.matches(":hover") || button.matches(":hover, :focus-visible");
  const leave = () => later(() => isMeant() || popover.hidePopover(), 200);
  button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && later(show, 400));
  button.addEventListener("pointerdown", () => clearTimeout(wait));
  button.addEventListener("focus", () => button.matches(":focus-visible") && show());
  for (const [element, name] of [[button, "pointerleave"], [popover, "pointerleave"], [button, "blur"]]) {
    element.addEventListener(name, leave);
  }
  return show;
}

for (const button of all("[popovertarget]")) {
  const popover = document.getElementById(button.getAttribute("popovertarget"));
  button.setAttribute("aria-describedby", popover.id);
  const show = explain(button, popover);
  if (!button.closest("thead")) continue;
  button.removeAttribute("popovertarget"); // a press sorts; where no pointer can rest it explains too
  button.addEventListener("click", (event) => event.pointerType === "touch" && show());
}

// Tables

const exact = (cell) => (cell?.dataset.value ?? cell?.firstChild?.textContent ?? "").trim();

function number(text) {
  const named = { nan: NaN, inf: Infinity, "-inf": -Infinity };
  const lower = text.toLowerCase();
  return lower in named ? named[lower] : text === "" ? NaN : Number(text);
}

/** What a cell is sorted by: its number, or the one that its words begin with. */
const leading = (text) => number((text.match(/^-?(inf|nan)\b/i) ?? text.match(/^[+-]?[\d.,]*\d(e[+-]?\d+)?/i) ?? [""])[0].replaceAll(",", ""));

function compared(one, other, numeric) {
  const [a, b] = numeric ? [leading(one), leading(other)] : [0, 0];
  return a < b ? -1 : a > b ? 1 : one.localeCompare(other, "en", { numeric: true });
}

/** What comes after all others, ascending or descending: NaN and words among numbers, then what is empty. */
const rank = (text, numeric) => (text === "" ? 2 : Number(numeric && Number.isNaN(leading(text))));

/** Whether cells are sorted by their numbers: those of figures where any has one, words where all begin with one. */
function areNumbers(texts, figures) {
  const said = texts.filter((text) => text !== "");
  if (figures) return said.some((text) => !rank(text, true));
  return said.every((text) => /^[+-]?[\d.,]*\d(e[+-]?\d+)?(\s|%|$)/i.test(text) && !rank(text, true));
}

function sort(table, heading, given) {
  const next = { ascending: "descending", descending: "" };
  const order = next[heading.getAttribute("aria-sort")] ?? "ascending";
  all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
  if (order) heading.setAttribute("aria-sort", order);
  const keyed = given.map((row) => [exact(row.cells[heading.cellIndex]), row]);
  const numeric = areNumbers(keyed.map(([text]) => text), heading.classList.contains("n"));
  const sign = order === "descending" ? -1 : 1;
  if (order) {
    keyed.sort(([a], [b]) => rank(a, numeric) - rank(b, numeric) || sign * compared(a, b, numeric));
  }
  table.classList.toggle("resorted", order !== "");
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

/** A field of CSV: a spreadsheet must not take it for a formula (reports/format.py does the same). */
function field(text) {
  const isNumber = !Number.isNaN(number(text)) || text.toLowerCase() === "nan";
  if (!isNumber && /^['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The rows that are shown; an interval takes three columns, a signature's number stands for the signature. */
function csv(table) {
  const rows = all("tbody tr:not([hidden])", table);
  const signatures = all(`#${table.dataset.signatures ?? "none"} code`).map((code) => code.textContent);
  const columns = all("thead th", table).flatMap((heading, place) => {
    const { name } = heading.dataset;
    const values = rows.map((row) => exact(row.cells[place]));
    if (signatures.length && name === "signature") return [[name, ...values.map((value) => signatures[value - 1] ?? "")]];
    if (!heading.classList.contains("n")) return [[name, ...values]];
    const parts = values.map((value) => value.split(" "));
    if (!rows.some((row, at) => row.cells[place].dataset.value && parts[at].length > 1)) return [[name, ...values]];
    return ["", "_low", "_high"].map((end, part) => [name + end, ...parts.map((one) => one[part] ?? "")]);
  });
  return columns[0].map((_, row) => columns.map((column) => field(column[row])).join(",") + "\r\n").join("");
}

const plural = (rows) => (rows === 1 ? "1 row" : `${rows} rows`);

function equip(box) {
  const table = box.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  const tools = make("span", { class: "tools" });
  const count = make("span", { role: "status" });
  if (rows.length >= MIN_ROWS_TO_FILTER) {
    const input = make("input", { type: "search", autocomplete: "off" });
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/);
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      const left = rows.filter((row) => !row.hidden).length;
      count.textContent = input.value.trim() ? `${left} of ${plural(rows.length)}` : "";
    });
    tools.append(make("label", {}, "filter ", input));
  }
  const copied = () => `${plural(rows.filter((row) => !row.hidden).length)} copied as CSV`;
  tools.append(copier("as CSV", () => csv(table), copied), count);
  table.caption.append(tools);
  box.classList.toggle("long", rows.length >= MIN_ROWS_TO_SCROLL);
  for (const heading of all("thead th", table)) {
    let button = heading.querySelector("button");
    if (!button) {
      button = make("button", { type: "button" }, ...heading.childNodes);
      heading.append(button);
    }
    button.classList.add("sort");
    button.addEventListener("click", () => sort(table, heading, rows));
  }
}

all(".table").filter((box) => box.querySelector("tbody tr")).forEach(equip);

// Only what scrolls needs to be reached by the keyboard.
const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const scrolls = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
    if (scrolls) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
all(".scroll").forEach((box) => sized.observe(box));

// Pictures

const tip = make("div", { class: "tip", hidden: "", "aria-hidden": "true" });
document.body.append(tip);

function distance({ left, right, top, bottom }, { clientX: x, clientY: y }) {
  return Math.hypot(Math.max(left - x, 0, x - right), Math.max(top - y, 0, y - bottom));
}

function tell(shapes, event) {
  const near = shapes.filter((shape) => !shape.closest(".off"))
    .map((shape) => [distance(shape.getBoundingClientRect(), event), shape])
    .reduce((best, one) => (one[0] < best[0] ? one : best), [NEAR, null])[1];
  tip.hidden = !near;
  if (!near) return;
  tip.textContent = near.dataset.told;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 4))}px`;
  tip.style.top = `${event.clientY > height + 20 ? event.clientY - height - 12 : event.clientY + 18}px`;
}

for (const figure of all("figure:has(svg)")) {
  const groups = all("[data-series]", figure);
  const svg = figure.querySelector("svg");
  const shapes = all("[data-series] title", svg).map((title) => { // which the browser would show too
    const shape = title.parentNode;
    shape.dataset.told = title.textContent;
    title.remove();
    return shape;
  });
  for (const name of ["pointermove", "pointerdown"]) svg.addEventListener(name, (event) => tell(shapes, event));
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
  const series = [...new Set(groups.map((group) => group.dataset.series))];
  if (series.length < 2) continue;
  const choice = make("fieldset", {}, make("legend", { class: "unseen" }, "Series that the picture shows"));
  for (const name of series) {
    const own = groups.filter((group) => group.dataset.series === name);
    const box = make("input", { type: "checkbox", checked: "" });
    box.addEventListener("change", () => own.forEach((group) => group.classList.toggle("off", !box.checked)));
    choice.append(make("label", {}, box, name));
  }
  figure.querySelector(".scroll").before(choice);
}

// What is closed is printed too, by browsers that do not do so by the style alone.
const opened = new Set();
addEventListener("beforeprint", () => all("details:not([open])").forEach((one) => { one.open = true; opened.add(one); }));
addEventListener("afterprint", () => { opened.forEach((one) => { one.open = false; }); opened.clear(); });
