// Sorting, filtering, paging and the theme. Without it every page is complete: nothing is fetched, nothing is hidden.
"use strict";

const PAGE = 100; // rows of a table that are shown at first
const root = document.documentElement;

function stored(key, value) {
  try { // a browser may refuse storage to files
    if (value === undefined) return localStorage.getItem(key);
    localStorage.setItem(key, value);
  } catch { /* nothing is remembered then */ }
  return null;
}

const remembered = stored("prunebench-theme");
if (remembered === "dark" || remembered === "light") root.dataset.theme = remembered;

function themeButton() {
  const button = document.getElementById("theme");
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const told = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    stored("prunebench-theme", root.dataset.theme);
    told();
  });
  button.hidden = false;
  told();
}

// What a cell is sorted by: a number where it begins with one, else its text. What is missing goes last either way.
function valueOf(cell) {
  const said = cell.textContent.trim();
  const number = parseFloat(said.replace(/,/g, ""));
  if (said === "-" || said === "") return null;
  if (said === "never") return Infinity;
  return Number.isNaN(number) || !/^[+-]?[\d.]/.test(said) ? said.toLowerCase() : number;
}

function order(a, b) {
  if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
  return typeof a === "number" ? -1 : 1;
}

// One table: its rows in the order shown, which of them match, and how many of these are on the page.
class Rows {
  constructor(table) {
    this.table = table;
    this.body = table.tBodies[0];
    this.rows = [...this.body.rows];
    this.given = [...this.rows];
    this.names = this.rows.map((row) => row.cells[0].textContent.toLowerCase());
    this.name = new Map(this.rows.map((row, i) => [row, this.names[i]]));
    this.matches = new Set(this.rows);
    this.most = PAGE;
    if (this.given.length > 1) this.headers();
    this.pager();
    this.show();
  }

  headers() {
    [...this.table.tHead.rows[0].cells].forEach((header, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      header.replaceChildren(button);
      header.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => this.sort(i, header));
    });
  }

  // Largest first for numbers, then smallest first, then as given.
  sort(column, header) {
    const was = header.getAttribute("aria-sort");
    for (const other of this.table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    const numbers = header.classList.contains("n");
    const steps = numbers ? ["none", "descending", "ascending"] : ["none", "ascending", "descending"];
    const now = steps[(steps.indexOf(was) + 1) % 3];
    header.setAttribute("aria-sort", now);
    this.table.classList.toggle("sorted", now !== "none");
    this.rows = [...this.given];
    if (now !== "none") {
      const sign = now === "ascending" ? 1 : -1;
      const values = new Map(this.rows.map((row) => [row, valueOf(row.cells[column])]));
      this.rows.sort((a, b) => {
        const [x, y] = [values.get(a), values.get(b)];
        if (x === null || y === null) return (x === null) - (y === null);
        return sign * order(x, y);
      });
    }
    this.body.append(...this.rows);
    this.show();
  }

  pager() {
    this.line = document.createElement("div");
    this.line.className = "more";
    this.said = document.createElement("span");
    this.next = document.createElement("button");
    this.next.type = "button";
    this.next.addEventListener("click", () => { this.most += PAGE; this.show(); });
    this.all = document.createElement("button");
    this.all.type = "button";
    this.all.textContent = "Show all";
    this.all.addEventListener("click", () => { this.most = Infinity; this.show(); });
    this.line.append(this.said, this.next, this.all);
    this.table.parentElement.after(this.line);
  }

  show() {
    let shown = 0;
    for (const row of this.rows) row.hidden = !(this.matches.has(row) && shown++ < this.most);
    const rest = shown - this.most;
    this.line.hidden = rest <= 0;
    if (rest > 0) {
      this.said.textContent = `${this.most} of ${shown} rows`;
      this.next.textContent = `Show ${Math.min(PAGE, rest)} more`;
    }
  }

  // How many rows match; baselines beside them do not count.
  filter(wanted) {
    this.matches.clear();
    const beside = [];
    for (const row of this.given) {
      const baseline = row.classList.contains("baseline");
      const kept = !wanted.keep || row.dataset.keep === wanted.keep;
      const asked = (!wanted.track || row.dataset.track === wanted.track) && this.name.get(row).includes(wanted.text);
      if (kept && asked) this.matches.add(row);
      else if (baseline && (kept || row.dataset.keep === "1")) beside.push(row);
    }
    const found = this.matches.size;
    if (found && wanted.baselines) for (const row of beside) this.matches.add(row);
    this.most = PAGE;
    this.show();
    return found;
  }
}

function filters(groups) {
  const form = document.getElementById("filter");
  if (!form || !groups.length) return;
  const total = groups.reduce((n, [, rows]) => n + rows.given.length, 0);
  const apply = () => {
    const given = new FormData(form);
    const wanted = {
      text: String(given.get("text")).trim().toLowerCase(), keep: given.get("keep"), track: given.get("track"),
      baselines: given.has("baselines"),
    };
    let found = 0;
    for (const [section, rows] of groups) {
      const here = (!given.get("dataset") || section.dataset.dataset === given.get("dataset"))
        && (!given.get("model") || section.dataset.model === given.get("model"));
      const n = here ? rows.filter(wanted) : 0;
      section.hidden = n === 0;
      found += n;
    }
    form.querySelector("output").textContent = found === total ? `${total} rows` : `${found} of ${total} rows`;
  };
  let waiting = 0;
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(apply, 60); };
  form.addEventListener("input", soon);
  form.addEventListener("reset", soon);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}

document.addEventListener("DOMContentLoaded", () => {
  themeButton();
  const tables = new Map([...document.querySelectorAll("table.board")].map((table) => [table, new Rows(table)]));
  const sections = [...document.querySelectorAll("section.group")];
  filters(sections.map((section) => [section, tables.get(section.querySelector("table.board"))]));
});
