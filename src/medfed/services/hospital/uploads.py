"""Files on their way into a hospital: kept bit by bit, so that none is sent twice.

What counts is what the database says was received, and it says so only after the disk has it for
good: bytes beyond that, from a process that was killed or a machine that went down, are cut off.
Where the site is encrypted they are sealed before the disk has them; see
`medfed.services.hospital.parts`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError

from medfed.core.files import sync
from medfed.services.accounts import Identity, require
from medfed.services.hospital.jobs import OPEN
from medfed.services.hospital.names import checked
from medfed.services.hospital.parts import PARTS, OpenPart, SealedPart, folder_of
from medfed.services.sites import site_vault
from medfed.services.trouble import Conflict, Missing, NoSpace, Refused, TooLarge
from medfed.storage.database.tables import JobRow, UploadRow
from medfed.storage.database.types import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from sqlalchemy import Select

    from medfed.services.hospital.jobs import Jobs
    from medfed.services.hospital.parts import Part
    from medfed.storage.database import Database

LARGEST = 32 * 1024**3
"""Bytes of one file; a zip may not unpack to more either."""
MOST_FILES = 10_000
SPARE = 512 * 1024**2
"""Bytes that stay free on the disk."""
BIT = 1024**2
ACTION = "data.add"
TELL = "Tell whoever runs the console"


class Uploads:
    """The files that are being sent for the jobs of one hospital.

    Args:
        database: The console's.
        jobs: Those that they are for.
        site: The hospital's own folder, which says whether they are sealed.
    """

    def __init__(self, database: Database, jobs: Jobs, site: Path) -> None:
        self.database = database
        self.jobs = jobs
        self.site = site

    def begin(self, by: Identity, job: str, name: str, length: int) -> UploadRow:
        """Announce a file for a job of one's own that is open.

        Args:
            by: Who sends it.
            job: What it is for.
            name: Where it belongs, relative, with ``/``.
            length: Bytes it has.

        Raises:
            AccessError: ``by`` may not.
            Missing: There is no such job of theirs.
            Refused: Its name, its size or the disk do not allow it.
            Conflict: The job has begun, or has a file of this name.
        """
        require(self.database, by, ACTION)
        row = UploadRow(id=secrets.token_hex(16), job_id=job, owner=by.name, length=length)
        row.name = checked(name)
        self._check_job(by, job)
        self._check_size(length)
        folder = self.jobs.folder(job) / PARTS
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make(folder / row.id)
        sync(folder)
        message = "there is a file of this name already"
        try:
            with self.database.write() as session:
                if session.scalar(_in_the_way(row)):
                    raise Conflict(message, remedy="Send each file once")
                session.add(row)
        except (IntegrityError, Conflict):
            _remove(folder / row.id)
            raise Conflict(message, remedy="Send each file once") from None
        return row

    def find(self, by: Identity, upload: str) -> UploadRow:
        """One's own file on its way.

        Raises:
            Missing: There is none: also where it is another's.
        """
        with self.database.read() as session:
            row = session.get(UploadRow, upload)
        if row is None or row.owner != by.name:
            raise Missing("there is no such upload", remedy="Begin it again")
        return row

    def of_job(self, job: str) -> Sequence[UploadRow]:
        """The files of a job, by name."""
        with self.database.read() as session:
            query = select(UploadRow).where(UploadRow.job_id == job).order_by(UploadRow.name)
            return session.scalars(query).all()

    def part(self, row: UploadRow) -> Path:
        """Where the bytes of a file are until its job begins, or beside it their pieces."""
        return self.jobs.folder(row.job_id) / PARTS / row.id

    def append(self, by: Identity, upload: str, offset: int, source: BinaryIO) -> int:
        """Add bytes to a file; those that came before a connection broke are kept.

        Args:
            by: Who sends them.
            upload: Which file.
            offset: Where they belong: exactly behind what was received.
            source: Gives the bytes; no more are read than the file lacks.

        Returns:
            How many bytes of the file are kept now.

        Raises:
            Missing: There is no such file of theirs.
            Conflict: They belong elsewhere, somebody else adds some now, or the job has begun.
        """
        with self._alone(self.find(by, upload)):
            row = self.find(by, upload)  # once more: another may have added some
            self._check_job(by, row.job_id)
            if offset != row.received:
                message = "the bytes do not begin where those received end"
                raise Conflict(message, remedy="Ask how many were received, and go on from there")
            with closing(self._opened(row)) as part:
                return self._added(row, part, source)

    def remove(self, by: Identity, upload: str) -> None:
        """Forget a file.

        Raises:
            Missing: There is none of theirs.
            Conflict: Its job has begun.
        """
        row = self.find(by, upload)
        self._check_job(by, row.job_id)
        with self.database.write() as session:
            session.delete(session.get_one(UploadRow, row.id))
        _remove(self.part(row))

    def _make(self, path: Path) -> None:
        """An empty file, or an empty folder for its pieces."""
        if site_vault(self.site).sealed:
            folder_of(path).mkdir(mode=0o700)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def _opened(self, row: UploadRow) -> Part:
        """What of a file counts, to be added to."""
        path, vault = self.part(row), site_vault(self.site)
        if vault.sealed:
            return SealedPart(folder_of(path), vault, row.received)
        return OpenPart(path, row.received)

    def _added(self, row: UploadRow, part: Part, source: BinaryIO) -> int:
        """Add bytes; how many of the file are kept then."""
        try:
            try:
                self._receive(row, part, source)
            finally:  # whatever ended it, what came is kept
                kept = self._keep(row.id, part.settle())
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise NoSpace("the disk is full", remedy=TELL) from error
            raise
        return kept

    def _receive(self, row: UploadRow, part: Part, source: BinaryIO) -> None:
        """Take bytes; the disk is made to keep them while the next are on their way."""
        missing, over, flushed = row.length - row.received, False, Future[int]()
        flushed.set_result(row.received)
        with ThreadPoolExecutor(1, "flush") as pool:
            while missing and not over:
                count, over = self._some(part, source, missing)
                missing -= count
                if part.waits or flushed.done():
                    flushed.result()
                    flushed = pool.submit(self._keep, row.id, part.settle())
            flushed.result()

    @staticmethod
    def _some(part: Part, source: BinaryIO, missing: int) -> tuple[int, bool]:
        """Take what is kept at once; how many bytes, and whether the source is at its end."""
        count = room = min(missing, part.room())
        while count:
            bit = source.read(min(BIT, count))
            if not bit:
                break
            count -= len(bit)
            part.write(bit)
        return room - count, bool(count)

    def _keep(self, upload: str, settle: Callable[[], int]) -> int:
        """Have the disk keep what came, then say so; where it ends."""
        received = settle()
        with self.database.write() as session:
            row = session.get_one(UploadRow, upload)
            row.received, row.updated = received, now()
        return received

    @contextmanager
    def _alone(self, row: UploadRow) -> Iterator[None]:
        path = self.part(row)
        where = folder_of(path) if site_vault(self.site).sealed else path
        try:
            handle = os.open(where, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Missing("there is no such upload", remedy="Begin it again") from None
        try:
            _lock(handle)
            yield
        finally:
            os.close(handle)

    def _check_job(self, by: Identity, job: str) -> None:
        if self.jobs.find(job, owner=by.name).state != OPEN:
            raise Conflict("this job has begun already", remedy="Begin another")

    def _check_size(self, length: int) -> None:
        if length > LARGEST:
            largest = f"{LARGEST // 1024**3} GiB"
            raise TooLarge("a file is too large", remedy=f"Send files of up to {largest}")
        missing = func.coalesce(func.sum(UploadRow.length - UploadRow.received), 0)
        with self.database.read() as session:
            open_ones = select(missing).join(JobRow).where(JobRow.state == OPEN)
            coming = int(session.scalar(open_ones) or 0)
            count = session.scalar(select(func.count(UploadRow.id))) or 0
        if count >= MOST_FILES:
            raise Refused("there are too many files", remedy="Pack them into a zip")
        if shutil.disk_usage(self.jobs.console).free < coming + length + SPARE:
            message = "the disk has no room for this file"
            raise NoSpace(message, remedy=TELL)


def _lock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = "this file is being sent already"
        raise Conflict(message, remedy="Wait a little, then go on") from None


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    shutil.rmtree(folder_of(path), ignore_errors=True)


def _in_the_way(row: UploadRow) -> Select[str]:
    """Files of the same job where the file's folders would lie, or in a folder of its name."""
    folders = [str(each) for each in PurePosixPath(row.name).parents]
    inside = UploadRow.name.startswith(f"{row.name}/", autoescape=True)
    query = select(UploadRow.id).where(UploadRow.job_id == row.job_id).limit(1)
    return query.where(or_(UploadRow.name.in_(folders), inside))
