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
  keepLive();
  setInterval(() => {
    tell(document);
    keepLive();
  }, 1000);
});

// Live parts: a stream says that something has changed, and the part is asked for again, at most
// every so many seconds. Without a stream it is asked for that often. A page that nobody sees
// needs none: a browser has few connections to a server.
const LOST = "The connection to the server is lost; what is shown may be old.";
const RETRY = 60000;
const live = { stream: null, asked: Date.now(), nextStream: 0, timer: 0, patience: 0, open: new Map() };

const livePart = () => document.querySelector("[data-live]");

function tellConnection(text) {
  clearTimeout(live.patience);
  const place = document.getElementById("connection");
  if (place.textContent !== text) place.textContent = text;
}

function refresh() {
  clearTimeout(live.timer);
  live.timer = 0;
  const part = livePart();
  if (!part || document.hidden) return;
  const wait = live.asked + part.dataset.live * 1000 - Date.now();
  if (wait > 0) {
    live.timer = setTimeout(refresh, wait);
    return;
  }
  live.asked = Date.now();
  globalThis.htmx?.trigger(part, "refresh");
}

function closeStream() {
  live.stream?.close();
  live.stream = null;
}

function openStream(url) {
  const stream = (live.stream = new EventSource(url));
  stream.addEventListener("open", () => tellConnection(""));
  // All that are open hear it at once: they ask one after the other.
  stream.addEventListener("changed", () => {
    live.timer ||= setTimeout(refresh, Math.random() * 1000);
  });
  stream.addEventListener("ended", () => location.reload());
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) {
      // It was refused: there are too many. The part is asked for without one, as if by a clock.
      closeStream();
      live.nextStream = Date.now() + RETRY;
    } else {
      clearTimeout(live.patience);
      live.patience = setTimeout(() => tellConnection(LOST), 3000);
    }
  });
}

function keepLive() {
  const part = livePart();
  if (!part || document.hidden) closeStream();
  else if (!live.stream && Date.now() >= live.nextStream) openStream(part.dataset.changes);
  else if (!live.stream) refresh();
}

document.addEventListener("visibilitychange", keepLive);
addEventListener("pagehide", closeStream);
for (const failure of ["htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(failure, () => tellConnection(LOST));
}
document.addEventListener("htmx:afterOnLoad", () => tellConnection(""));

// What is unfolded and what has the focus stays so when a part is replaced.
function folds() {
  const seen = {};
  return [...document.querySelectorAll("main details")].map((fold) => {
    const text = fold.querySelector("summary").textContent.trim();
    seen[text] = (seen[text] ?? 0) + 1;
    return [`${text} ${seen[text]}`, fold];
  });
}

document.addEventListener("htmx:beforeSwap", () => {
  live.open = new Map(folds().map(([name, fold]) => [name, fold.open]));
  live.focus = document.activeElement?.getAttribute("href");
});
document.addEventListener("htmx:afterSettle", (event) => {
  for (const [name, fold] of folds()) if (live.open.has(name)) fold.open = live.open.get(name);
  if (live.focus && document.activeElement === document.body) {
    document.querySelector(`main a[href="${CSS.escape(live.focus)}"]`)?.focus();
  }
  tell(event.target);
  keepLive();
});

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
