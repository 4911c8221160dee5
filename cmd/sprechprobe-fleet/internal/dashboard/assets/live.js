// Keeps a page as the server would render it now. The server sends the html of
// parts and rows that changed, and all rows in order; times are counted on here.
"use strict";
(() => {
  const words = document.body.dataset;
  const table = document.getElementById("boxes");
  const status = document.getElementById("status");
  const link = document.getElementById("link");
  const pause = document.getElementById("pause");
  let paused = false;
  let connected = false;
  let source = null;

  // Ages come from the server, so that this machine's clock need not be right.
  const began = new WeakMap();
  const span = (ms) => {
    const s = Math.floor(ms / 1000);
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min";
    if (s < 172800) return Math.floor(s / 3600) + " h";
    return Math.floor(s / 86400) + " d";
  };
  const tick = () => {
    if (paused) return;
    const now = performance.now();
    for (const t of document.querySelectorAll("time[data-age]")) {
      if (!began.has(t)) began.set(t, now - Number(t.dataset.age));
      const ms = now - began.get(t);
      const text = t.dataset.form === "since" ? words.since.replace("%s", span(ms))
        : ms < 2000 ? words.now : words.ago.replace("%s", span(ms));
      if (t.textContent !== text) t.textContent = text;
    }
  };

  const element = (html) => {
    const t = document.createElement("template");
    t.innerHTML = html; // made and escaped by the server's templates
    return t.content.firstElementChild;
  };
  // selector finds again what has the focus after a part of the page was replaced.
  const selector = (within) => {
    const a = document.activeElement;
    if (!a || !within.contains(a)) return null;
    if (a.id) return "#" + CSS.escape(a.id);
    const d = a.closest("details");
    if (d) return "details[data-key=" + JSON.stringify(d.dataset.key) + "] > summary";
    const href = a.getAttribute("href");
    return href ? "a[href=" + JSON.stringify(href) + "]" : null;
  };
  const keep = (within, change) => {
    const focus = selector(within);
    const open = new Set([...within.querySelectorAll("details[open]")].map((d) => d.dataset.key));
    const now = change();
    for (const d of now.querySelectorAll("details")) d.open = open.has(d.dataset.key);
    if (focus) queueMicrotask(() => now.querySelector(focus)?.focus({ preventScroll: true }));
  };

  const replace = (old, html) => {
    const row = element(html);
    if (!old) return row;
    if (old.className.replace(" changed", "") !== row.className) row.classList.add("changed");
    keep(old, () => { old.replaceWith(row); return row; });
    return row;
  };

  const order = (rows) => {
    const there = new Set(rows.map((r) => r.id));
    for (const row of [...table.children]) if (!there.has(row.id)) row.remove();
    let place = table.firstElementChild;
    for (const r of rows) {
      let row = document.getElementById(r.id);
      if (r.html) {
        const here = row !== null && row === place;
        row = replace(row, r.html);
        if (here) place = row;
      }
      if (!row) continue;
      if (row === place) place = place.nextElementSibling;
      else table.insertBefore(row, place);
    }
  };

  const apply = (news) => {
    for (const p of news.parts) {
      const part = p.html ? document.getElementById(p.id) : null;
      if (part && part.innerHTML !== p.html) keep(part, () => { part.innerHTML = p.html; return part; });
    }
    if (status.textContent !== news.status) status.textContent = news.status;
    if (table) order(news.rows || []);
    tick();
  };

  const show = () => {
    link.hidden = pause.hidden = false;
    link.className = paused ? "live off" : connected ? "live" : "live lost";
    link.textContent = paused ? words.off : connected ? words.live : words.lost;
    pause.textContent = paused ? words.resume : words.pause;
  };

  // A page that connects again gets everything, so nothing is kept meanwhile.
  pause.addEventListener("click", () => {
    paused = !paused;
    if (paused) source.close();
    else connect();
    connected = false;
    show();
  });

  // Who is no longer logged in is sent to the login, and comes back here.
  const again = () => fetch("/api/v1/me").then((r) => { if (r.status === 401) location.reload(); }, () => {});

  const connect = () => {
    source = new EventSource(words.stream);
    const mine = source;
    mine.addEventListener("open", () => { connected = true; show(); });
    mine.addEventListener("error", () => {
      connected = false;
      show();
      // A refusal ends the source for good; a lost connection does not.
      if (mine.readyState === EventSource.CLOSED) {
        again();
        setTimeout(() => { if (!paused && source === mine) connect(); }, 5000 + Math.random() * 5000);
      }
    });
    mine.addEventListener("list", (e) => { if (!paused) apply(JSON.parse(e.data)); });
  };
  connect();
  show();
  tick();
  setInterval(tick, 1000);
})();
