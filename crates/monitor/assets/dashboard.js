// Keeps a page live. Without it every page works, and is as old as its last load.
//
// The server sends what has changed: `parts`, the content of elements by their ids, made there and escaped there; and `changed`,
// another text whenever a count is another, at which elements with `data-refresh` are fetched anew; where one of them has an
// element with `data-poll`, they are fetched all the time.
"use strict";
(() => {
  const mark = document.getElementById("live");
  if (!mark || !window.EventSource) return;
  const page = document.getElementById("main").dataset.live || "";
  const SILENT_MS = 25000, AGAIN_MS = 3000, REFRESH_MS = 2000, OLD_MS = 30000;
  let source = null, heard = 0, again = 0, counts = null, stale = false, fetching = false, fetched = Date.now();

  const say = (live, text) => {
    const words = live ? "live" : text;
    mark.hidden = false;
    mark.classList.toggle("off", !live);
    if (mark.textContent !== words) mark.textContent = words;
  };

  // Puts new content into an element; what has the focus keeps it, what is open stays open.
  const put = (element, html) => {
    if (element.dataset.was === html) return;
    const all = () => [...element.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]")];
    const held = document.activeElement;
    const focus = all().indexOf(held);
    // Where a row came or went, the place in the order is another's; a button acts on its own row alone.
    const same = (one) => one.tagName === held.tagName && ["aria-label", "href", "name", "value"].every((name) => one.getAttribute(name) === held.getAttribute(name));
    const open = [...element.querySelectorAll("details")].map((one) => one.open);
    const across = [...element.querySelectorAll(".steps")].map((one) => one.scrollLeft);
    element.innerHTML = html;
    element.dataset.was = html;
    element.querySelectorAll("details").forEach((one, nth) => { one.open = open[nth] ?? one.open; });
    element.querySelectorAll(".steps").forEach((one, nth) => { one.scrollLeft = across[nth] || 0; });
    if (focus >= 0) (all().find(same) || (held.tagName === "BUTTON" ? null : all()[focus]))?.focus({ preventScroll: true });
  };

  // Fetches the page, and takes over the elements that are to be fresh. What a person is writing is left alone.
  const refresh = async () => {
    // Ages grow, and some things are no delivery's: a page is not older than this.
    if (!(stale || Date.now() - fetched > OLD_MS) || fetching || !source || document.hidden) return;
    const fresh = [...document.querySelectorAll("[data-refresh][id]")];
    if (!fresh.length || fresh.some((one) => one.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"))) return;
    stale = false;
    fetching = true;
    fetched = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
      if (answer.type === "opaqueredirect") return location.reload();
      if (answer.ok) {
        const next = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const one of fresh) {
          const other = next.getElementById(one.id);
          if (other) put(one, other.innerHTML);
        }
      } else {
        stale = true;
      }
    } catch {
      stale = true;
    } finally {
      fetching = false;
    }
  };

  const state = (event) => {
    heard = Date.now();
    const told = JSON.parse(event.data);
    // Flows were added or removed: the page is another.
    const gone = [...document.querySelectorAll('section[id^="flow-"]')].some((one) => !told.ids.includes(one.id));
    if (page === "flows" && gone || told.ids.some((id) => !document.getElementById(id))) return location.reload();
    for (const [id, html] of Object.entries(told.parts)) put(document.getElementById(id), html);
    if (counts !== null && counts !== told.changed) stale = true;
    counts = told.changed;
    say(true);
  };

  const close = () => {
    clearTimeout(again);
    source?.close();
    source = null;
  };

  // Refused, or gone: a session that has ended leads to the login page, anything else is tried again.
  const lost = async () => {
    close();
    say(false, "not live");
    again = setTimeout(open, AGAIN_MS);
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
      if (answer.type === "opaqueredirect") location.reload();
    } catch { /* The server is away. */ }
  };

  function open() {
    close();
    if (document.hidden) return;
    heard = Date.now();
    source = new EventSource("/pages/events?page=" + encodeURIComponent(page));
    source.addEventListener("state", state);
    source.addEventListener("trouble", (event) => { heard = Date.now(); say(false, "not live: " + JSON.parse(event.data)); });
    source.addEventListener("here", () => { heard = Date.now(); });
    source.onerror = lost;
  }

  // A line that is dead says nothing, not even that it is.
  setInterval(() => { if (source && Date.now() - heard > SILENT_MS) lost(); }, 5000);
  setInterval(() => {
    // What is being worked on may change without any count.
    stale ||= document.querySelector("[data-poll]") !== null;
    refresh();
  }, REFRESH_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { close(); say(false, "not live"); } else { stale = true; open(); }
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) { stale = true; open(); } });
  open();
})();
