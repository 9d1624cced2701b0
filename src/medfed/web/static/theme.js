// Runs before the page is drawn, so that a dark page does not flash white.
(() => {
  const kept = localStorage.getItem("medfed-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
