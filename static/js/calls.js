// The calls list: ticked rows and the acts on them, and forms that take the present address along.
"use strict";
(() => {
  function picks() {
    return [...document.querySelectorAll("[data-pick]")];
  }

  function show() {
    const bulk = document.querySelector("[data-bulk]");
    if (!bulk) return;
    const all = picks();
    const picked = all.filter((box) => box.checked).length;
    bulk.hidden = picked === 0;
    bulk.querySelector("[data-picked]").textContent = picked;
    const head = document.querySelector("[data-pick-all]");
    head.checked = picked > 0 && picked === all.length;
    head.indeterminate = picked > 0 && picked < all.length;
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-pick-all]")) for (const box of picks()) box.checked = event.target.checked;
    if (!event.target.matches("[data-pick], [data-pick-all]")) return;
    show();
    if (!picks().some((box) => box.checked)) document.dispatchEvent(new CustomEvent("switchboard:unpicked"));
  });
  // The filters change the address without a new page.
  document.addEventListener("submit", (event) => {
    if (event.target.matches("[data-with-address]")) event.target.elements.query.value = location.search.slice(1);
  });
  // `x` ticks the row that j and k have reached.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey) return;
    const box = event.target.closest("[data-row]")?.closest("tr")?.querySelector("[data-pick]");
    if (box && (localStorage.getItem("switchboard-keys") ?? "on") !== "off") box.click();
  });
  document.addEventListener("htmx:afterSwap", show);
  addEventListener("pageshow", show);
  show();
})();
