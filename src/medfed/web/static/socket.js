// A WebSocket that connects again after each break, until the log-in is lost.
import { lost } from "./session.js";
import { io } from "./vendor/socket.io.esm.min.js";

const AGAIN_MS = 5000;

export function live() {
  const socket = io({ transports: ["websocket"] });
  // Only breaks of the network are mended by the library itself.
  socket.on("disconnect", (reason) => { if (reason === "io server disconnect") look(socket, true); });
  socket.on("connect_error", () => { if (!socket.active) look(socket, false); });
  return socket;
}

// The server let this page go, or did not let it in: it says why.
async function look(socket, again) {
  const out = await lost();
  if (out) location.reload();
  else if (out === null || again) setTimeout(() => socket.connect(), AGAIN_MS);
}
