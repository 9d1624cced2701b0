// The map of the federation on pages of lists: drawn anew when its part came anew.
import { drawMap } from "./federation_map.js";

const place = document.querySelector("[data-map]");

function show() {
  const about = document.getElementById("map");
  if (!about) return;
  const { sites, words } = JSON.parse(about.textContent);
  place.closest("section").hidden = !sites.length;
  if (sites.length) drawMap(place, sites, words);
}

addEventListener("taken", show);
addEventListener("themechange", show);
show();
