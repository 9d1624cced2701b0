"""Pages that follow a run or an inference, over a WebSocket.

One thread of each process looks for news and sends it to those who follow: no broker, and several
processes may share a database. A page says which event it saw last, so it misses none while it was
away, and gets at most five messages a second however fast the rounds are.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, g, request
from flask_babel import force_locale
from flask_socketio import SocketIO, emit

from medfed.core.errors import MedfedError
from medfed.services.accounts import may
from medfed.services.console import Console
from medfed.services.greenlets import in_greenlets
from medfed.storage.database.bell import Bell
from medfed.web.feeds import Feed, feeds_of
from medfed.web.frames import share_frames
from medfed.web.language import choose
from medfed.web.paging import LARGEST
from medfed.web.people import Credential, credential, denied, identify, identify_again
from medfed.web.refused_sockets import CONNECT, note_refused

log = logging.getLogger(__name__)

PACE_SECONDS = 0.2
CHECK_SECONDS = 5.0
SLICE = 100
"""Pages told in one go: with greenlets nobody else is served meanwhile."""
LOOKS = 200
"""Pages asked again at one look, so that a thousand do not hold up the news."""


@dataclass(slots=True)
class Viewer:
    """A page that is open.

    Attributes:
        credential: By what it was let in.
        language: In which it reads.
        feed: What kind of thing it follows.
        subject: Which of them; empty for nothing yet.
        after: Number of the last event that it was sent.
        told: How things stood as it was told last.
        checked: When it was last asked whether it may look.
    """

    credential: Credential
    language: str
    feed: str = ""
    subject: str = ""
    after: int = 0
    told: dict[str, Any] = field(default_factory=dict)
    checked: float = field(default_factory=time.monotonic)


class Follower:
    """Sends news to the pages that follow something.

    Attributes:
        here: Whether the database is.
    """

    def __init__(self, app: Flask, console: Console, socketio: SocketIO) -> None:
        self._app = app
        self._console = console
        self._socketio = socketio
        self.feeds: dict[str, Feed] = feeds_of(console)
        self._viewers: dict[str, Viewer] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self.here = True

    @property
    def rights(self) -> list[str]:
        """Who has one of them has something to follow."""
        return [feed.right for feed in self.feeds.values()]

    def __len__(self) -> int:
        """How many pages are open."""
        return len(self._viewers)

    def add(self, sid: str, viewer: Viewer) -> None:
        """A page was opened."""
        with self._lock:
            self._viewers[sid] = viewer
            if self._thread is None:  # in the process that serves, not in the one that forks it
                told = self._keep_telling
                self._thread = threading.Thread(target=told, name="follower", daemon=True)
                self._thread.start()

    def remove(self, sid: str) -> None:
        """A page was closed."""
        with self._lock:
            self._viewers.pop(sid, None)

    def stop(self) -> None:
        """Tell nobody any more; the database may be closed afterwards."""
        with self._lock:
            self._over.set()
            thread = self._thread
        if thread is not None:
            thread.join()

    def follow(self, sid: str, feed: str, subject: str, after: int) -> None:
        """A page wants what happens to something after an event."""
        with self._lock:
            if viewer := self._viewers.get(sid):
                viewer.feed, viewer.subject = feed, subject
                viewer.after, viewer.told = after, {}

    def _keep_telling(self) -> None:
        while not self._over.is_set():
            try:
                with Bell(self._console.database) as bell:
                    self._here(True)
                    while not self._over.is_set():
                        told = time.monotonic()
                        self._tell_all()
                        self._look_again()
                        bell.wait(1.0)
                        self._over.wait(max(0.0, told + PACE_SECONDS - time.monotonic()))
            except MedfedError as error:
                self._here(False, error)
            except Exception:  # the thread must outlive whatever one look met
                log.exception("telling live pages failed")
            self._over.wait(1.0)

    def _here(self, here: bool, error: MedfedError | None = None) -> None:
        """Tell open pages, once, that the database went away or came back."""
        if here != self.here:
            self.here = here
            self._socketio.emit("database", {"here": here})
            if error:
                log.warning("live pages wait: %s", error)

    def _tell_all(self) -> None:
        """Read and put into words once what many pages wait for."""
        wanted: dict[tuple[str, str], list[tuple[str, Viewer]]] = defaultdict(list)
        with self._lock:
            for sid, viewer in self._viewers.items():
                if viewer.subject:
                    wanted[viewer.feed, viewer.subject].append((sid, viewer))
        with self._app.app_context():
            for (feed, subject), pages in wanted.items():
                row = self.feeds[feed].find(subject)
                for language in {viewer.language for _, viewer in pages}:
                    with force_locale(language):
                        same = [each for each in pages if each[1].language == language]
                        self._tell_some(feed, row, same)

    def _tell_some(self, feed: str, row: Any, pages: Sequence[tuple[str, Viewer]]) -> None:
        """Tell pages of one language how something stands, and what each has not seen."""
        summary = dict(self.feeds[feed].summary(row))
        groups: dict[tuple[int, bool], list[str]] = defaultdict(list)
        for sid, viewer in pages:
            groups[viewer.after, viewer.told == summary].append(sid)
        for (after, told), sids in groups.items():
            events = self.feeds[feed].events(row, after)
            if told and not events:
                continue
            news = {feed: None if told else summary, "events": events}
            for start in range(0, len(sids), SLICE):
                some = sids[start : start + SLICE]
                self._socketio.emit("news", news, to=some)  # written out once for all of them
                self._noted(some, pages[0][1].subject, after, summary, events)
                self._socketio.sleep(0)  # now they are sent, and others are answered in between

    def _noted(
        self,
        sids: Sequence[str],
        subject: str,
        after: int,
        summary: dict[str, Any],
        events: Sequence[Mapping[str, Any]],
    ) -> None:
        with self._lock:
            for viewer in filter(None, map(self._viewers.get, sids)):
                if (viewer.subject, viewer.after) == (subject, after):  # else it turned elsewhere
                    viewer.told = summary
                    viewer.after = events[-1]["number"] if events else after

    def _look_again(self) -> None:
        """Whoever is logged out elsewhere, barred, or may no more, sees no more here either."""
        moment = time.monotonic()
        with self._lock:
            pages = self._viewers.items()
            due = [each for each in pages if moment - each[1].checked >= CHECK_SECONDS]
        due = due[:LOOKS]
        people = identify_again(self._console, {viewer.credential for _, viewer in due})
        for sid, viewer in due:
            viewer.checked = moment
            rights = [self.feeds[viewer.feed].right] if viewer.feed else self.rights
            if not any(may(people[viewer.credential], right) for right in rights):
                self.remove(sid)
                self._socketio.server.disconnect(sid)


def register(app: Flask, console: Console) -> SocketIO:
    """Let pages follow what the console's faces show."""
    socketio = SocketIO(
        app,
        async_mode="gevent" if in_greenlets() else "threading",
        transports=["websocket"],
        manage_session=False,
        serve_client=False,
    )
    share_frames(socketio)
    note_refused(app, console)
    follower = Follower(app, console, socketio)
    app.extensions["medfed-live"] = socketio
    app.extensions["medfed-follower"] = follower
    app.extensions["medfed-meters"].live.set_function(lambda: len(follower))

    @socketio.on("connect")
    def _connect(_auth: Any = None) -> bool:
        who = identify(console)
        if not any(may(who, right) for right in follower.rights):
            denied(console, who, CONNECT, "", "there is nothing here that they may follow")
            return False
        g.user = who
        follower.add(_sid(), Viewer(credential(), choose()))
        if not follower.here:
            emit("database", {"here": False})
        return True

    @socketio.on("disconnect")
    def _disconnect(*_reason: Any) -> None:
        follower.remove(_sid())

    @socketio.on("follow")
    def _follow(wish: Any) -> dict[str, Any]:
        name, subject, after = _wish(wish, follower.feeds)
        feed = follower.feeds[name]
        who = identify(console)
        if not (answer := may(who, feed.right)):
            denied(console, who, feed.right, f"{name} {subject}", answer.reason)
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
