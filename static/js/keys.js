// Keys, menus, copy buttons, running clocks and tidy filter addresses: small helpers that every page shares.
"use strict";
(() => {
  const storageKey = "switchboard-keys";

  // --- single-key shortcuts: only those that work on this page, and they can be switched off (WCAG 2.1.4) -----------------

  function keysAreOn() {
    try {
      return localStorage.getItem(storageKey) !== "off";
    } catch {
      return true;
    }
  }

  function openHelp() {
    const help = document.querySelector("[data-help]");
    if (!help || help.open) return;
    for (const line of help.querySelectorAll("[data-key-needs]")) {
      line.hidden = !document.querySelector(line.dataset.keyNeeds);
    }
    help.querySelector("[data-keys-switch]").checked = keysAreOn();
    help.showModal();
  }

  function moveRow(step) {
    const rows = [...document.querySelectorAll("[data-row]")];
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement);
    const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1);
    rows[next].focus();
    rows[next].closest("tr")?.scrollIntoView({ block: "nearest" });
  }

  let goUntil = 0; // `g`, then a screen's letter within a second

  function goTo(letter) {
    const entry = [...document.querySelectorAll("[data-go]")].find((link) => link.dataset.go === letter);
    if (entry) location.assign(entry.href);
    return Boolean(entry);
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeMenus();
    if (event.ctrlKey || event.metaKey || event.altKey || !keysAreOn()) return;
    if (event.target.closest("input, select, textarea, [contenteditable], dialog[open]")) return;
    const isGoing = event.timeStamp < goUntil;
    goUntil = event.key === "g" && !isGoing ? event.timeStamp + 1000 : 0;
    if (isGoing && goTo(event.key)) return;
    if (event.key === "/") {
      const search = document.querySelector("#id_q");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "j") moveRow(1);
    else if (event.key === "k") moveRow(-1);
    else if (event.key === "?") openHelp();
  });

  // --- menus are <details>: a click elsewhere closes them -----------------------------------------------------------------

  function closeMenus(except) {
    for (const menu of document.querySelectorAll("[data-menu][open]")) if (menu !== except) menu.open = false;
  }

  document.addEventListener("click", async (event) => {
    closeMenus(event.target.closest("[data-menu]"));
    if (event.target.closest("[data-help-open]")) openHelp();
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      await navigator.clipboard.writeText(copy.dataset.copy);
      copy.classList.add("is-done");
      copy.querySelector("[data-copy-state]").textContent = copy.dataset.done;
    }
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-keys-switch]")) return;
    try {
      localStorage.setItem(storageKey, event.target.checked ? "on" : "off");
    } catch {
      event.target.checked = true; // cannot be remembered, so it is not promised
    }
  });

  // --- durations of live calls run by themselves --------------------------------------------------------------------------

  function tick() {
    for (const clock of document.querySelectorAll("[data-ticks-from]")) {
      const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(clock.dataset.ticksFrom)) / 1000));
      const two = (n) => String(n).padStart(2, "0");
      const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
      const text = h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
      if (clock.textContent !== text) clock.textContent = text;
    }
  }
  tick();
  setInterval(tick, 1000);
  document.addEventListener("htmx:afterSwap", tick);
  document.addEventListener("switchboard:patched", tick);

  // --- on a narrow screen the menu is folded away -------------------------------------------------------------------------

  const menuFold = document.querySelector("[data-fold-menu]");
  if (menuFold) {
    const narrow = matchMedia("(max-width: 991.98px)");
    const fold = () => { menuFold.open = !narrow.matches; };
    narrow.addEventListener("change", fold);
    fold();
  }

  // --- on a narrow screen the filters are folded away until one is in use ------------------------------------------------

  for (const fold of document.querySelectorAll("[data-fold-when-narrow]")) {
    const inUse = [...fold.querySelectorAll("input, select")].some((field) => field.value);
    if (matchMedia("(max-width: 767.98px)").matches && !inUse) fold.open = false;
  }

  // --- filters that say nothing stay out of the address -------------------------------------------------------------------

  document.addEventListener("htmx:configRequest", (event) => {
    if (!event.target.closest("[data-drop-empty]")) return;
    for (const [name, value] of [...event.detail.formData.entries()]) if (value === "") event.detail.formData.delete(name);
  });
})();
