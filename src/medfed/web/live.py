"""Pages that follow a run or an inference, over a WebSocket.

One thread of each process looks for news and sends it to those who follow: no broker, and several
processes may share a database. A page says which event it saw last, so it misses none while it was
away, and gets at most five messages a second however fast the rounds are.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, g, request
from flask_babel import force_locale
from flask_socketio import SocketIO

from medfed.core.errors import MedfedError
from medfed.services.accounts import Identity, may
from medfed.services.console import Console
from medfed.storage.database.bell import Bell
from medfed.web.feeds import Feed, feeds_of
from medfed.web.language import choose
from medfed.web.paging import LARGEST
from medfed.web.people import asked_again, identify

log = logging.getLogger(__name__)

PACE_SECONDS = 0.2
CHECK_SECONDS = 5.0


@dataclass(slots=True)
class Viewer:
    """A page that is open, and what it follows: a feed by name, and what of it."""

    who: Callable[[], Identity]
    language: str
    feed: str = ""
    subject: str = ""
    after: int = 0
    told: dict[str, Any] = field(default_factory=dict)


class Follower:
    """Sends news to the pages that follow something."""

    def __init__(self, app: Flask, console: Console, socketio: SocketIO) -> None:
        self._app = app
        self._console = console
        self._socketio = socketio
        self.feeds: dict[str, Feed] = feeds_of(console)
        self._viewers: dict[str, Viewer] = {}
        self._lock = threading.Lock()
        self._started = False
        self._checked = time.monotonic()

    @property
    def rights(self) -> list[str]:
        """Who has one of them has something to follow."""
        return [feed.right for feed in self.feeds.values()]

    def add(self, sid: str, viewer: Viewer) -> None:
        """A page was opened."""
        with self._lock:
            self._viewers[sid] = viewer
            if not self._started:  # in the process that serves, not in the one that forks it
                self._started = True
                threading.Thread(target=self._keep_telling, name="follower", daemon=True).start()

    def remove(self, sid: str) -> None:
        """A page was closed."""
        with self._lock:
            self._viewers.pop(sid, None)

    def follow(self, sid: str, feed: str, subject: str, after: int) -> None:
        """A page wants what happens to something after an event."""
        with self._lock:
            if viewer := self._viewers.get(sid):
                viewer.feed, viewer.subject = feed, subject
                viewer.after, viewer.told = after, {}

    def _keep_telling(self) -> None:
        while True:
            try:
                with Bell(self._console.database) as bell:
                    while True:
                        bell.wait(1.0)
                        self._tell_all()
                        self._look_again()
                        time.sleep(PACE_SECONDS)
            except MedfedError as error:
                log.warning("live pages wait: %s", error)
            except Exception:  # the thread must outlive whatever one look met
                log.exception("telling live pages failed")
            time.sleep(1.0)

    def _tell_all(self) -> None:
        with self._lock:
            pages = [(sid, viewer) for sid, viewer in self._viewers.items() if viewer.subject]
        wanted = {(viewer.feed, viewer.subject) for _, viewer in pages}
        rows = {(feed, subject): self.feeds[feed].find(subject) for feed, subject in wanted}
        with self._app.app_context():
            for sid, viewer in pages:
                with force_locale(viewer.language):
                    self._tell(sid, viewer, rows[viewer.feed, viewer.subject])

    def _tell(self, sid: str, viewer: Viewer, row: Any) -> None:
        subject, feed = viewer.subject, viewer.feed
        news = self.feeds[feed].news(row, viewer.after)
        if not news.events and news.summary == viewer.told:
            return
        self._socketio.emit("news", {feed: news.summary, "events": news.events}, to=sid)
        with self._lock:
            if viewer.subject == subject:
                viewer.told = dict(news.summary)
                viewer.after = viewer.after if news.last is None else news.last

    def _look_again(self) -> None:
        """Whoever is logged out elsewhere, barred, or may no more, sees no more here either."""
        if time.monotonic() - self._checked < CHECK_SECONDS:
            return
        self._checked = time.monotonic()
        with self._lock:
            pages = list(self._viewers.items())
        for sid, viewer in pages:
            who = viewer.who()
            rights = [self.feeds[viewer.feed].right] if viewer.feed else self.rights
            if not any(may(who, right) for right in rights):
                self.remove(sid)
                self._socketio.server.disconnect(sid)


def register(app: Flask, console: Console) -> SocketIO:
    """Let pages follow what the console's faces show."""
    socketio = SocketIO(
        app,
        async_mode="threading",
        transports=["websocket"],
        manage_session=False,
        serve_client=False,
    )
    follower = Follower(app, console, socketio)
    app.extensions["medfed-live"] = socketio

    @socketio.on("connect")
    def _connect(_auth: Any = None) -> bool:
        who = identify(console)
        if not any(may(who, right) for right in follower.rights):
            return False
        g.user = who
        follower.add(_sid(), Viewer(asked_again(console), choose()))
        return True

    @socketio.on("disconnect")
    def _disconnect(*_reason: Any) -> None:
        follower.remove(_sid())

    @socketio.on("follow")
    def _follow(wish: Any) -> dict[str, Any]:
        name, subject, after = _wish(wish, follower.feeds)
        feed = follower.feeds[name]
        if not (answer := may(identify(console), feed.right)):
            return {"error": answer.reason}
        try:
            feed.find(subject)
        except MedfedError as error:
            return {"error": error.message}
        follower.follow(_sid(), name, subject, after)
        return {"following": subject}

    return socketio


def _wish(wish: Any, feeds: Mapping[str, Feed]) -> tuple[str, str, int]:
    """What a page asks for: ``{"run": ID, "after": N}``, or another feed's name and subject."""
    given = wish if isinstance(wish, dict) else {}
    name = next((each for each in feeds if each in given), next(iter(feeds)))
    subject, after = given.get(name), given.get("after")
    number = min(max(0, after), LARGEST) if isinstance(after, int) else 0
    return name, (subject if isinstance(subject, str) else ""), number


def _sid() -> str:
    return str(request.sid)  # type: ignore[attr-defined]  # Flask-SocketIO puts it there
