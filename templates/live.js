// The audit log, live: each new entry on top as it comes. Entries come as HTML that the server has made and escaped.
(() => {
  "use strict";
  const MOST = 200, SAID_EVERY = 10000, AGAIN = 30000;
  const bar = document.getElementById("live");
  const card = document.getElementById("live-list");
  if (!bar || !card || !window.EventSource) return;
  const list = card.querySelector(".entries");
  const empty = card.querySelector(".empty");
  const state = document.getElementById("live-state");
  const news = document.getElementById("live-news");
  const ended = document.getElementById("live-ended");
  const button = document.getElementById("live-pause");
  let source, last = -1, shown = 0, unsaid = 0, saying, paused = false;
  const waiting = [];

  const many = (n) => n + (n === 1 ? " new entry" : " new entries");

  function say(words, kind) {
    state.textContent = words;
    bar.dataset.state = kind;
  }

  function tell() {
    if (paused) say("Paused. " + (waiting.length ? many(waiting.length) + " waiting." : "Nothing new yet."), "paused");
    else say("Live. " + (shown ? many(shown) + " so far." : "Waiting for new entries."), "live");
  }

  // Not every entry is worth an interruption to somebody who listens to the page.
  function announce() {
    saying = undefined;
    if (unsaid) news.textContent = many(unsaid) + (paused ? " waiting" : "");
    unsaid = 0;
  }

  function show(html) {
    const row = document.createElement("template");
    row.innerHTML = html;
    for (const item of row.content.children) item.classList.add("new");
    list.prepend(row.content);
    while (list.children.length > MOST) list.lastElementChild.remove();
    if (empty) empty.hidden = true;
    shown += 1;
  }

  function taken(event) {
    const seq = Number(event.lastEventId);
    if (seq <= last) return;
    last = seq;
    if (paused) {
      waiting.push(event.data);
      if (waiting.length > MOST) waiting.shift();
    } else show(event.data);
    unsaid += 1;
    saying ??= setTimeout(announce, SAID_EVERY);
    tell();
  }

  function end() {
    source.close();
    ended.hidden = false;
    button.hidden = true;
    say("Not live any more.", "ended");
  }

  // A browser does not say why it was refused, so the answer is looked at once more.
  async function refused(address) {
    say("Not live at the moment. Trying again in half a minute.", "lost");
    try {
      const stop = new AbortController();
      const answer = await fetch(address, { signal: stop.signal, cache: "no-store" });
      stop.abort();
      if (answer.status === 401 || answer.redirected) return end();
    } catch { /* It is not there: that may pass. */ }
    setTimeout(open, AGAIN);
  }

  function open() {
    const address = new URL(bar.dataset.stream, location.href);
    if (last >= 0) address.searchParams.set("after", last);
    source = new EventSource(address);
    source.addEventListener("open", tell);
    source.addEventListener("entry", taken);
    source.addEventListener("ended", end);
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) refused(address);
      else say("The connection was lost. Trying again.", "lost");
    });
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    while (!paused && waiting.length) show(waiting.shift());
    tell();
  });
  say("Connecting.", "lost");
  open();
})();
