// Chooses light or dark before the first paint: the stored choice, else the system's. Loaded in the head, never deferred.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const choices = ["auto", "light", "dark"];

  function read() {
    try {
      const stored = localStorage.getItem("switchboard-theme");
      return choices.includes(stored) ? stored : "auto";
    } catch {
      return "auto"; // storage may be forbidden; the system's choice is always right
    }
  }

  function apply() {
    const choice = read();
    root.dataset.themeChoice = choice;
    root.dataset.bsTheme = choice === "auto" ? (system.matches ? "dark" : "light") : choice;
    for (const name of document.querySelectorAll("[data-theme-name]")) name.textContent = name.dataset[choice];
  }

  root.dataset.script = "on";
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  addEventListener("DOMContentLoaded", () => {
    apply();
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.addEventListener("click", () => {
        const next = choices[(choices.indexOf(read()) + 1) % choices.length];
        try {
          localStorage.setItem("switchboard-theme", next);
        } catch {
          return;
        }
        apply();
      });
    }
  });
  apply();
})();
