// The live socket of a page: reconnects with growing pauses, can be paused, and patches only what changed so that focus and scroll stay.
"use strict";
(() => {
  const place = document.querySelector("[data-live-socket]");
  const control = document.querySelector("[data-live-switch]");
  if (!place || !control) return;

  const GONE = 4404; // dashboard/live.py: no such call, or not ours any more
  const LONGEST_PAUSE_MS = 15000;
  const state = control.querySelector("[data-live-state]");
  const announcer = document.querySelector("[data-announcer]");
  let socket = null;
  let paused = false;
  let failures = 0;
  let timer = 0;

  function show(name) {
    control.dataset.now = name;
    control.setAttribute("aria-pressed", String(!paused));
    if (state.textContent !== control.dataset[name]) state.textContent = control.dataset[name];
  }

  function connect() {
    clearTimeout(timer);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const mine = (socket = new WebSocket(`${scheme}//${location.host}${place.dataset.liveSocket}`));
    mine.addEventListener("open", () => {
      failures = 0;
      show("on");
    });
    mine.addEventListener("message", (event) => receive(JSON.parse(event.data)));
    mine.addEventListener("close", (event) => {
      if (socket !== mine || paused) return;
      failures += 1;
      // A refused handshake looks like any failure here, so nobody retries for ever.
      if (event.code === GONE || failures > 20) return show("off");
      show("lost");
      const pause = Math.min(500 * 2 ** (failures - 1), LONGEST_PAUSE_MS);
      timer = setTimeout(connect, pause * (0.5 + Math.random() / 2));
    });
  }

  control.addEventListener("click", () => {
    paused = !paused;
    if (paused) {
      clearTimeout(timer);
      socket?.close();
      show("off");
    } else {
      failures = 0;
      show("connecting");
      connect(); // the server sends everything that changed meanwhile
    }
  });
  addEventListener("pagehide", () => {
    clearTimeout(timer);
    const last = socket;
    socket = null;
    last?.close();
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted && !paused) connect();
  });

  function receive(message) {
    if (message.activity !== undefined) showActivity(message.activity);
    else if (message.html !== undefined) {
      patchPage(message.html);
      if (!message.live) {
        showActivity("");
        control.hidden = true; // what follows (costs, the recording) still appears
      }
    }
    else if (message.changed) refreshList();
  }

  function showActivity(text) {
    const activity = document.querySelector("[data-activity]");
    if (!activity) return;
    activity.hidden = !text;
    activity.querySelector("[data-activity-text]").textContent = text;
  }

  // --- the list asks for its rows itself, with the filters of its address ------------------------------------------------

  let asking = false;
  let askAgain = false;
  async function refreshList() {
    if (!document.querySelector("[data-live-results]")) return; // an older page does not move under the reader
    if (asking || document.querySelector("[data-pick]:checked")) {
      askAgain = true; // rows do not move under somebody who is ticking them
      return;
    }
    asking = true;
    try {
      await htmx.ajax("GET", location.pathname + location.search, { target: "#results", swap: "outerHTML" });
    } finally {
      asking = false;
      if (askAgain && !document.querySelector("[data-pick]:checked")) {
        askAgain = false;
        refreshList();
      }
    }
  }

  document.addEventListener("switchboard:unpicked", () => {
    if (askAgain && !asking) {
      askAgain = false;
      refreshList();
    }
  });

  // --- the call page is patched ------------------------------------------------------------------------------------------

  const sources = new WeakMap(); // what the server last sent for an element, whatever scripts did to it since

  function remember(element) {
    if (element.id) sources.set(element, element.outerHTML);
    for (const inner of element.querySelectorAll("[id]")) sources.set(inner, inner.outerHTML);
  }

  function patchPage(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    const turns = document.querySelector(".turns");
    const following = turns && turns.getBoundingClientRect().bottom <= innerHeight + 80;
    for (const incoming of [...template.content.children]) {
      const current = document.getElementById(incoming.id);
      if (current) patch(current, incoming);
    }
    document.dispatchEvent(new CustomEvent("switchboard:patched"));
    if (following) document.querySelector(".turns")?.lastElementChild?.scrollIntoView({ block: "nearest" });
  }

  function patch(current, incoming) {
    const source = incoming.outerHTML;
    if (sources.get(current) === source) return;
    const bothLists = current.hasAttribute("data-patch") && incoming.hasAttribute("data-patch");
    if (!bothLists) return replace(current, incoming);
    sources.set(current, source);
    for (const name of current.getAttributeNames()) if (!incoming.hasAttribute(name)) current.removeAttribute(name);
    for (const name of incoming.getAttributeNames()) current.setAttribute(name, incoming.getAttribute(name));
    let before = current.firstElementChild;
    for (const child of [...incoming.children]) {
      const known = document.getElementById(child.id);
      if (known && known.parentElement === current) {
        if (known === before) before = before.nextElementSibling;
        else current.insertBefore(known, before);
        patch(known, child);
      } else {
        remember(child);
        current.insertBefore(child, before);
        child.classList.add("is-new");
        announce(child);
      }
    }
    while (before) {
      const after = before.nextElementSibling;
      before.remove();
      before = after;
    }
  }

  function replace(current, incoming) {
    remember(incoming);
    for (const open of current.querySelectorAll("details[open][id]")) {
      incoming.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
    }
    const focused = current.contains(document.activeElement) ? document.activeElement : null;
    const path = focused && focusPath(focused, current);
    const wasFinal = current.hasAttribute("data-final");
    current.replaceWith(incoming);
    if (path) [...incoming.querySelectorAll(path.selector)][path.index]?.focus({ preventScroll: true });
    if (!wasFinal) announce(incoming.matches(".turn") ? incoming : [...incoming.querySelectorAll(".turn[data-final]")].pop());
  }

  function focusPath(element, within) {
    const selector = element.tagName.toLowerCase();
    return { selector, index: [...within.querySelectorAll(selector)].indexOf(element) };
  }

  function announce(element) {
    if (!announcer || !element?.hasAttribute("data-final")) return;
    const words = element.querySelector("[data-says]");
    if (words) announcer.textContent = `${element.querySelector(".turn-role").textContent.trim()}: ${words.textContent}`;
  }

  for (const unit of document.querySelectorAll("[data-live-call] ~ * [id], [data-live-call] ~ [id]")) {
    sources.set(unit, unit.outerHTML);
  }
  show("connecting");
  connect();
})();
