// Keeps the page as the server would render it now. The server sends the html
// of rows that changed, and all rows in order; times are counted on here.
"use strict";
(() => {
  const words = document.body.dataset;
  const boxes = document.getElementById("boxes");
  const head = document.getElementById("head");
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
  const openKeys = (row) => new Set([...row.querySelectorAll("details[open]")].map((d) => d.dataset.key));
  // focusKey finds what has the focus again after its row was replaced.
  const focusKey = (row) => {
    const a = document.activeElement;
    if (!a || !row.contains(a)) return null;
    const d = a.closest("details");
    return d ? d.dataset.key : null;
  };

  const replace = (old, html) => {
    const row = element(html);
    if (old) {
      const opened = openKeys(old), focus = focusKey(old);
      for (const d of row.querySelectorAll("details")) {
        d.open = opened.has(d.dataset.key);
        if (d.dataset.key === focus) queueMicrotask(() => d.querySelector("summary").focus({ preventScroll: true }));
      }
      if (old.className.replace(" changed", "") !== row.className) row.classList.add("changed");
      old.replaceWith(row);
    }
    return row;
  };

  const apply = (list) => {
    const focused = document.activeElement && head.contains(document.activeElement) ? document.activeElement.id : null;
    head.innerHTML = list.head;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    if (status.textContent !== list.status) status.textContent = list.status;
    const keep = new Set(list.rows.map((r) => r.id));
    for (const row of [...boxes.children]) if (!keep.has(row.id)) row.remove();
    let place = boxes.firstElementChild;
    for (const r of list.rows) {
      let row = document.getElementById(r.id);
      if (r.html) {
        const here = row !== null && row === place;
        row = replace(row, r.html);
        if (here) place = row;
      }
      if (!row) continue;
      if (row === place) place = place.nextElementSibling;
      else boxes.insertBefore(row, place);
    }
    tick();
  };

  const show = () => {
    link.hidden = pause.hidden = false;
    link.className = paused ? "live off" : connected ? "live" : "live lost";
    link.textContent = paused ? words.off : connected ? words.live : words.lost;
    pause.textContent = paused ? words.resume : words.pause;
  };

  // A page that connects again gets the whole list, so nothing is kept meanwhile.
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
