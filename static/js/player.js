// Plays recordings: a waveform over the browser's own player, and one clock shared by waveform, strip and transcript.
"use strict";
(() => {
  const nonce = document.currentScript.nonce;
  const ready = new WeakSet();

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function lane(name) {
    return { waveColor: color(`--lane-${name}`), progressColor: color(`--lane-${name}-played`), height: 44 };
  }

  function setUp(player) {
    if (ready.has(player)) return;
    ready.add(player);
    const audio = player.querySelector("audio");
    const wave = player.querySelector("[data-wave]");
    const both = player.dataset.channels === "2";
    place(player, wave);
    const surfer = WaveSurfer.create({
      container: wave,
      media: audio,
      url: audio.currentSrc || audio.src,
      cspNonce: nonce,
      height: both ? 44 : 56,
      cursorColor: color("--lane-cursor"),
      cursorWidth: 2,
      barWidth: 2,
      barGap: 1,
      barRadius: 1,
      normalize: true,
      ...lane("agent"),
      ...(both ? { splitChannels: [lane("caller"), lane("agent")] } : {}),
    });
    surfer.on("error", () => wave.parentElement.setAttribute("hidden", "")); // the browser's own player still works
    new MutationObserver(() => {
      surfer.setOptions(both ? { splitChannels: [lane("caller"), lane("agent")] } : lane("agent"));
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
    if (player.dataset.kind === "call") {
      audio.addEventListener("timeupdate", () => follow(Number(player.dataset.offsetMs) + audio.currentTime * 1000));
    }
  }

  // The waveform takes the recording's place on the strip's axis, so that what lies below each other happened together.
  function place(player, wave) {
    const strip = document.querySelector("[data-strip]");
    if (!strip || player.dataset.kind !== "call" || !Number(player.dataset.seconds)) return;
    const total = Number(strip.dataset.totalMs);
    const start = Math.min(Number(player.dataset.offsetMs) / total, 0.9);
    const share = Math.min((Number(player.dataset.seconds) * 1000) / total, 1 - start);
    wave.style.marginLeft = `${start * 100}%`;
    wave.style.width = `${share * 100}%`;
  }

  function follow(ms) {
    for (const turn of document.querySelectorAll(".turn[data-to-ms]")) {
      turn.classList.toggle("is-now", ms >= Number(turn.dataset.fromMs) && ms < Number(turn.dataset.toMs));
    }
    const strip = document.querySelector("[data-strip]");
    if (!strip) return;
    const x = Math.min((ms / Number(strip.dataset.totalMs)) * 1000, 1000);
    const head = strip.querySelector("[data-playhead]");
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
  }

  function seek(ms) {
    const players = [...document.querySelectorAll("[data-player][data-kind=call]")];
    const player = players.filter((one) => Number(one.dataset.offsetMs) <= ms).pop() ?? players[0];
    if (!player) return false;
    const audio = player.querySelector("audio");
    audio.currentTime = Math.max(ms - Number(player.dataset.offsetMs), 0) / 1000;
    follow(ms);
    audio.play().catch(() => {}); // a browser may refuse to start sound; the place is set all the same
    return true;
  }

  document.addEventListener("click", (event) => {
    const from = event.target.closest("[data-seek-ms]");
    if (!from) return;
    const shown = from.dataset.shows && (document.getElementById(from.dataset.shows) ?? document.getElementById(`${from.dataset.shows}-entry`));
    if (shown) shown.scrollIntoView({ block: "center", behavior: "smooth" });
    seek(Number(from.dataset.seekMs));
  });

  function setUpAll() {
    for (const player of document.querySelectorAll("[data-player]")) setUp(player);
  }
  setUpAll();
  document.addEventListener("switchboard:patched", setUpAll);
})();
