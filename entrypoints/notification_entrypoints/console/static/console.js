// What makes the pages quicker to use. Nothing that they show or do needs it.
"use strict";

const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function rough(seconds) {
  const [size, name] = units.find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${name}`;
}

// Times: the viewer's zone on hover, and ages that go on.
function tell(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.dataset.utc ??= time.title;
    time.title = `${zone.format(at)}\n${time.dataset.utc}`;
    if (time.classList.contains("exact")) continue;
    const age = (Date.now() - at.getTime()) / 1000;
    const text = Math.abs(age) < 1 ? "just now" : age > 0 ? `${rough(age)} ago` : `in ${rough(-age)}`;
    if (time.textContent !== text) time.textContent = text;
  }
}

addEventListener("DOMContentLoaded", () => {
  document.documentElement.classList.add("with-js");
  tell(document);
  setInterval(() => tell(document), 1000);
});
document.addEventListener("htmx:afterSettle", (event) => tell(event.target));
// What cannot be fetched is told, and the page stays as it was.
for (const failure of ["htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(failure, () => document.body.classList.add("is-offline"));
}
document.addEventListener("htmx:afterOnLoad", () => document.body.classList.remove("is-offline"));

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(copy.dataset.copy);
    copy.classList.add("is-done");
    setTimeout(() => copy.classList.remove("is-done"), 1200);
  }
  if (event.target.closest("[data-help]")) document.getElementById("help").showModal();
  for (const open of document.querySelectorAll("details.switcher[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});

let went = 0;
let chosen = -1;

function choose(step) {
  const rows = [...document.querySelectorAll("table.list a.row")];
  if (!rows.length) return;
  chosen = Math.min(rows.length - 1, Math.max(0, chosen + step));
  rows[chosen].focus();
}

function go(key) {
  const places = { o: "overview", w: "webhooks", e: "events", d: "deliveries", k: "keys" };
  document.querySelector(`[data-go="${places[key] ?? ""}"]`)?.click();
}

addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  if (event.timeStamp - went < 1000) {
    went = 0;
    go(event.key);
    return;
  }
  switch (event.key) {
    case "g": went = event.timeStamp; break;
    case "j": choose(1); break;
    case "k": choose(-1); break;
    case "?": document.getElementById("help").showModal(); break;
    case "/": {
      const search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.focus();
      }
    }
  }
});
