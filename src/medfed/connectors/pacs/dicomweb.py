"""DICOMweb: QIDO-RS to query, WADO-RS to retrieve, STOW-RS to store (PS3.18)."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
from dicomweb_client.api import DICOMwebClient

from medfed.connectors.pacs.address import PacsOptions, WebAddress, is_loopback
from medfed.connectors.pacs.problems import PacsError
from medfed.connectors.pacs.query import (
    MOST_STUDIES,
    PacsSeries,
    Query,
    missing,
    sorted_series,
    too_many,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pydicom import Dataset

CONNECT_SECONDS = 10.0
ANY_SYNTAX = (("application/dicom", "*"),)
"""As stored: compressed objects come compressed, not unpacked and perhaps packed again."""


class WebPacs:
    """A PACS with DICOMweb.

    Certificates are always checked. Proxies, ``.netrc`` and the like of the environment are not
    used: patient data go to the address that was given and nowhere else.

    Args:
        address: where.
        options: how.

    Raises:
        PacsError: it would be spoken to in clear text over a network.
    """

    def __init__(self, address: WebAddress, options: PacsOptions) -> None:
        if not address.encrypted and not is_loopback(address.host) and not options.plain_http:
            message = f"{address.url} is not encrypted, and patient data would pass in clear text"
            raise PacsError("address", message, remedy="Use https://, or add --plain-http")
        self._host = address.host
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(options.ca) if options.ca else True
        if options.certificate:
            self._session.cert = str(options.certificate)
        if options.token:
            self._session.headers["Authorization"] = f"Bearer {options.token}"
        elif options.user:
            self._session.auth = (options.user, options.password)
        timeout = (min(CONNECT_SECONDS, options.timeout), options.timeout)
        self._client = DICOMwebClient(address.url, self._session, timeout=timeout)
        self._client.set_http_retry_params(retry=False)

    def check(self) -> str:
        """Ask for one study."""
        with self._told():
            self._client.search_for_studies(limit=1)
        return f"{self._host} answers DICOMweb queries"

    def find(self, query: Query) -> list[PacsSeries]:
        """QIDO-RS: the studies, then the series of each."""
        from pydicom import Dataset

        with self._told():
            studies = self._client.search_for_studies(
                search_filters=query.of_study(), limit=MOST_STUDIES + 1
            )
            if len(studies) > MOST_STUDIES:
                raise too_many(len(studies))
            found = []
            for study in map(Dataset.from_json, studies):
                answers = self._client.search_for_series(
                    str(study.StudyInstanceUID), search_filters=query.of_series()
                )
                found += [PacsSeries.of(study, Dataset.from_json(one)) for one in answers]
        return sorted_series([one for one in found if _matches(one, query)])

    def fetch(
        self, series: PacsSeries, folder: Path, progress: Callable[[int], None] | None = None
    ) -> int:
        """WADO-RS, one object in memory at a time."""
        count = 0
        with self._told():
            answer = self._client.iter_series(series.study, series.series, media_types=ANY_SYNTAX)
            for count, dataset in enumerate(answer, start=1):
                _save(dataset, folder / f"{count:06d}.dcm")
                if progress:
                    progress(count)
        if count < (series.objects or 1):
            raise missing(count, series.objects or 1)
        return count

    def send(self, files: Sequence[Path], progress: Callable[[int], None] | None = None) -> int:
        """STOW-RS, one object a request, so that each is answered for."""
        import pydicom

        for count, file in enumerate(files, start=1):
            dataset = _read(pydicom, file)
            with self._told():
                answer: Any = self._client.store_instances([dataset])
            failed = answer.get("FailedSOPSequence")
            if failed:
                reason = int(failed[0].get("FailureReason", 0))
                message = f"{self._host} did not store {file.name} (reason 0x{reason:04X})"
                raise PacsError("failed", message, remedy="Its own log says why")
            if progress:
                progress(count)
        return len(files)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong on the way, as sentences."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they quote what was received
                yield
        except requests.exceptions.SSLError as error:
            message = f"the certificate of {self._host} is not trusted"
            remedy = "Give the hospital's own authority with --ca FILE; it is never left unchecked"
            raise PacsError("certificate", message, remedy=remedy) from error
        except requests.exceptions.Timeout as error:
            message = f"{self._host} did not answer in time"
            raise PacsError("timeout", message, remedy="Try again, or give --timeout") from error
        except requests.exceptions.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            raise self._refused(status) from error
        except requests.exceptions.RequestException as error:
            message = f"{self._host} cannot be reached"
            remedy = "Check address and port, and the firewall between"
            raise PacsError("unreachable", message, remedy=remedy) from error
        except (ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
            # What a server that speaks something else sends breaks the decoding anywhere.
            message = f"{self._host} answered something that is no DICOMweb"
            raise PacsError("failed", message, remedy="Check the path of the address") from error

    def _refused(self, status: int) -> PacsError:
        if status in {401, 403}:
            message = f"{self._host} asks for other credentials (HTTP {status})"
            remedy = "Set MEDFED_PACS_USER and MEDFED_PACS_PASSWORD, or MEDFED_PACS_TOKEN"
            return PacsError("credentials", message, remedy=remedy)
        if status == 404:
            message = f"{self._host} has nothing at this address (HTTP 404)"
            return PacsError("not-found", message, remedy="Check the path of the address")
        message = f"{self._host} refused the request (HTTP {status})"
        return PacsError("refused", message, remedy="Its own log says why")


def _matches(series: PacsSeries, query: Query) -> bool:
    """Servers may ignore filters that they do not know."""
    return query.series in {"", series.series} and query.modality in {"", series.modality}


def _save(dataset: Dataset, file: Path) -> None:
    """Write an object as it came."""
    dataset.save_as(file, enforce_file_format=True)


def _read(pydicom: Any, file: Path) -> Any:
    try:
        return pydicom.dcmread(file)
    except FileNotFoundError:
        raise PacsError("not-found", f"there is no file {file}") from None
    except Exception as error:
        raise PacsError("failed", f"{file.name} is no DICOM file") from error
