// The theme: the system's unless the reader chose one. Runs before the page is drawn, so nothing flashes.
"use strict";
(() => {
  const KEY = "effrob-theme", root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");

  // A page from disk may be denied storage: then the choice lasts as long as the page.
  function kept() {
    try { return localStorage.getItem(KEY); } catch { return null; }
  }
  function keep(name) {
    try { localStorage.setItem(KEY, name); } catch { /* nothing to keep it in */ }
  }

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  if (["light", "dark"].includes(kept())) root.dataset.theme = kept();

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const say = () => {
      button.textContent = isDark() ? "☀ Light" : "☾ Dark";
      button.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
    };
    const changed = () => { say(); document.dispatchEvent(new Event("theme")); };
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      keep(root.dataset.theme);
      changed();
    });
    system.addEventListener("change", changed);
    say();
  });
})();
