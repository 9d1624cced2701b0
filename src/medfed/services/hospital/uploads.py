"""Files on their way into a hospital: kept bit by bit, so that none is sent twice.

What counts is what the database says was received, and it says so only after the disk has it for
good: bytes beyond that, from a process that was killed or a machine that went down, are cut off.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError

from medfed.core.files import sync
from medfed.services.accounts import Identity, require
from medfed.services.hospital.jobs import OPEN
from medfed.services.hospital.names import checked
from medfed.services.trouble import Conflict, Missing, NoSpace, Refused, TooLarge
from medfed.storage.database.tables import JobRow, UploadRow
from medfed.storage.database.types import now

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import FileIO
    from pathlib import Path
    from typing import BinaryIO

    from sqlalchemy import Select

    from medfed.services.hospital.jobs import Jobs
    from medfed.storage.database import Database

LARGEST = 32 * 1024**3
"""Bytes of one file; a zip may not unpack to more either."""
MOST_FILES = 10_000
SPARE = 512 * 1024**2
"""Bytes that stay free on the disk."""
BIT = 1024**2
KEPT_EVERY = 16 * 1024**2
ACTION = "data.add"
TELL = "Tell whoever runs the console"
PARTS = "parts"


class Uploads:
    """The files that are being sent for the jobs of one hospital.

    Args:
        database: The console's.
        jobs: Those that they are for.
    """

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self.database = database
        self.jobs = jobs

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
        handle = os.open(folder / row.id, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.close(handle)
        sync(folder)
        message = "there is a file of this name already"
        try:
            with self.database.write() as session:
                if session.scalar(_in_the_way(row)):
                    raise Conflict(message, remedy="Send each file once")
                session.add(row)
        except (IntegrityError, Conflict):
            (folder / row.id).unlink()
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
        """Where the bytes of a file are until its job begins."""
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
        with self._alone(self.find(by, upload)) as file:
            row = self.find(by, upload)  # once more: another may have added some
            self._check_job(by, row.job_id)
            if offset != row.received:
                message = "the bytes do not begin where those received end"
                raise Conflict(message, remedy="Ask how many were received, and go on from there")
            file.truncate(offset)
            file.seek(offset)
            try:
                kept = self._receive(row, file, source)
            except BaseException as error:  # whatever ended it, what came is kept
                self._keep(row.id, file, file.tell())
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise NoSpace("the disk is full", remedy=TELL) from error
                raise
            self._keep(row.id, file, kept)
            return kept

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
        self.part(row).unlink(missing_ok=True)

    def _receive(self, row: UploadRow, file: FileIO, source: BinaryIO) -> int:
        """Take bytes; the disk is made to keep them while the next are on their way."""
        kept, over, flushed = file.tell(), False, Future[None]()
        flushed.set_result(None)
        with ThreadPoolExecutor(1, "flush") as pool:
            while kept < row.length and not over:
                kept, over = self._some(file, source, kept, row.length)
                if flushed.done():
                    flushed.result()
                    flushed = pool.submit(self._keep, row.id, file, kept)
            flushed.result()
        return kept

    @staticmethod
    def _some(file: FileIO, source: BinaryIO, kept: int, length: int) -> tuple[int, bool]:
        """Take what is kept at once; where the file ends then, and whether the source did."""
        end = min(length, kept + KEPT_EVERY)
        while kept < end:
            bit = source.read(min(BIT, end - kept))
            if not bit:
                return kept, True
            kept += len(bit)
            while bit:  # without a buffer, a write may take less
                bit = bit[file.write(bit) :]
        return kept, False

    def _keep(self, upload: str, file: FileIO, received: int) -> None:
        os.fsync(file.fileno())
        with self.database.write() as session:
            row = session.get_one(UploadRow, upload)
            row.received, row.updated = received, now()

    @contextmanager
    def _alone(self, row: UploadRow) -> Iterator[FileIO]:
        try:
            with self.part(row).open("r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield file
        except BlockingIOError:
            message = "this file is being sent already"
            raise Conflict(message, remedy="Wait a little, then go on") from None
        except FileNotFoundError:
            raise Missing("there is no such upload", remedy="Begin it again") from None

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


def _in_the_way(row: UploadRow) -> Select[str]:
    """Files of the same job where the file's folders would lie, or in a folder of its name."""
    folders = [str(each) for each in PurePosixPath(row.name).parents]
    inside = UploadRow.name.startswith(f"{row.name}/", autoescape=True)
    query = select(UploadRow.id).where(UploadRow.job_id == row.job_id).limit(1)
    return query.where(or_(UploadRow.name.in_(folders), inside))
