// Follows an inference over a WebSocket, and again after each break.
import { live } from "./socket.js";

export function following(id, words, show) {
  const link = document.querySelector("[data-link]");
  const socket = live();
  socket.on("connect", () => {
    link.className = "link-state on";
    link.textContent = words.live;
    socket.emit("follow", { inference: id });
  });
  socket.on("disconnect", () => {
    link.className = "link-state off";
    link.textContent = words.away;
  });
  socket.on("news", (news) => { if (news.inference) show(news.inference); });
}
