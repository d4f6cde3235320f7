// The theme: the system's unless the reader chose one. Runs before the page is drawn, so nothing flashes.
"use strict";
(() => {
  const root = document.documentElement;
  const kept = () => { try { return localStorage.getItem("effrob-theme"); } catch { return null; } };
  const keep = (name) => { try { localStorage.setItem("effrob-theme", name); } catch { /* a page from disk may not keep anything */ } };
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  if (kept()) root.dataset.theme = kept();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const say = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`); button.setAttribute("aria-pressed", String(isDark())); };
    button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; keep(root.dataset.theme); say(); document.dispatchEvent(new Event("theme")); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { say(); document.dispatchEvent(new Event("theme")); });
    say();
  });
})();
