"""Data sets: the one path by which a download enters, and the quickstart's data, which need none."""

import difflib
import functools
import gzip
import importlib.util
import json
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pooch
import requests
from ase.collections import dcdft
from pymatgen.core import Structure
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn, track

from moe_mat.crystals.errors import FetchError, LeftOut
from moe_mat.crystals.structures import as_structure
from moe_mat.files.folders import CACHE_VARIABLE, cache_folder

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = 1.0
CHUNK_BYTES = 1 << 16

# What a server may answer today and not tomorrow; every other 4xx is an answer for good.
PASSING_STATUS = {408, 425, 429}

# figshare's pages, where matminer's links point to, turn scripts away with 403; its API serves the same files.
FIGSHARE_PAGE = re.compile(r"https?://(?:ndownloader\.figshare\.com|(?:www\.)?figshare\.com/ndownloader)/files/(\d+)/?")
FIGSHARE_API = "https://api.figshare.com/v2/file/download/{}"


def list_matminer() -> pd.DataFrame:
    """The matminer data sets that have structures: columns dataset, rows, columns (the other ones), description."""
    return pd.DataFrame(
        [
            (name, entry["num_entries"], [c for c in entry["columns"] if c != "structure"], entry["description"])
            for name, entry in _metadata().items()
            if "structure" in entry["columns"]
        ],
        columns=["dataset", "rows", "columns", "description"],
    )


def load_matminer(name: str, *, require_structures: bool = True) -> pd.DataFrame:
    """A matminer data set, fetched where it is not in the cache.

    Args:
        name: see `list_matminer`.
        require_structures: whether a data set without structures (a table of formulas) is an error.

    Returns:
        The data set's columns; ``structure`` holds pymatgen Structures.

    Raises:
        FetchError: it cannot be downloaded.
        ValueError: there is no such data set, or it has no structures and they are required.
    """
    if require_structures and "structure" not in _entry(name)["columns"]:
        raise ValueError(
            f"The matminer data set {name!r} has no structures, only {', '.join(_entry(name)['columns'])}. "
            f"With structures there are: {', '.join(list_matminer()['dataset'])}."
        )
    return read_matminer(fetch_matminer(name))


def read_matminer(path: Path, *, decode: bool = True) -> pd.DataFrame:
    """Read a data set file of matminer (JSON as pandas splits it, or CSV; plain or gzip).

    Only the column ``structure`` is decoded, and only as structures: matminer's own reader makes whatever object the
    file asks for.

    Args:
        path: the file.
        decode: whether structures are made, or stay the dicts that the file has.

    Raises:
        ValueError: the file is not such a data set; the message names file, row and cause.
    """
    try:
        if ".csv" in path.suffixes:
            table = pd.read_csv(path)
        else:
            with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
                content = json.load(file)
            table = pd.DataFrame(content["data"], columns=content["columns"], index=content["index"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a matminer data set: {error!r}") from error
    if decode and "structure" in table:
        console = Console(stderr=True)
        cells = track(
            table["structure"].items(), path.name, len(table), console=console, disable=not console.is_terminal
        )
        table["structure"] = pd.Series([_structure(path, row, cell) for row, cell in cells], table.index, dtype=object)
    return table


def fetch_matminer(
    name: str,
    *,
    url: str | None = None,
    sha256: str | None = None,
    cache_dir: Path | None = None,
    retries: int = 3,
    timeout: float = 30.0,
) -> Path:
    """The file of a matminer data set: from the cache folder if its checksum is right, else downloaded.

    The download is checked against the checksum before it gets its name. Addresses and checksums are those of
    matminer's ``dataset_metadata.json``; figshare addresses are asked in their API form first.

    Args:
        name: a matminer data set, or a name of your own if you give `url` and `sha256`.
        url: another address to take the file from.
        sha256: another checksum.
        cache_dir: folder of the file, by default ``datasets`` in the cache folder.
        retries: how often to try again after a failure that may pass (no answer, cut off, server error), waiting
            1, 2, 4, ... seconds.
        timeout: seconds the server may stay silent.

    Raises:
        FetchError: no address gave the right file.
        ValueError: there is no such data set, or there is no checksum to hold the file against.
    """
    if url is None or sha256 is None:
        entry = _entry(name)
        suffix, sha256 = f".{entry['file_type']}", sha256 or str(entry["hash"])
    else:
        suffix = "".join(Path(url.split("?")[0]).suffixes[-2:])
    links = [url] if url is not None else list(dict.fromkeys([figshare_api_link(entry["url"]), entry["url"]]))
    path = (cache_folder() / "datasets" if cache_dir is None else Path(cache_dir)) / f"{name}{suffix}"

    rotten = False
    if path.is_file():
        if pooch.file_hash(str(path)) == sha256:
            return path
        rotten = True
        logger.warning("%s does not have its checksum any more and is fetched again", path)
    failures = _try_links(name, links, path, sha256=sha256, retries=retries, timeout=timeout)
    if not failures:
        return path
    reasons = "\n".join(f"  {link}: {reason}" for link, reason in failures.items())
    damaged = "\nThe file that is there does not have this checksum and is not used." if rotten else ""
    raise FetchError(
        f"Data set {name!r} could not be fetched:\n{reasons}\n"
        f"Download it by other means and save it as {path} (sha256 {sha256}); it is then used from there.{damaged}"
    )


def _try_links(
    name: str, links: Sequence[str], path: Path, *, sha256: str, retries: int, timeout: float
) -> dict[str, str]:
    """Try one address after the other, again and again; address to its failure, empty when the file is there."""
    left, failures = list(links), {}
    for attempt in range(1 + retries):
        if attempt:
            time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        for link in list(left):
            try:
                _download(link, path, sha256=sha256, timeout=timeout)
                return {}
            except requests.RequestException as error:
                failures[link] = str(error)
                status = None if error.response is None else error.response.status_code
                if status is not None and 400 <= status < 500 and status not in PASSING_STATUS:
                    left.remove(link)
            except ValueError as error:  # pooch's word for a wrong checksum; the server means what it sends
                failures[link] = str(error)
                left.remove(link)
            except OSError as error:
                raise FetchError(
                    f"Data set {name!r}: cannot write {path} ({error}). Set {CACHE_VARIABLE} to a folder that can be "
                    "written and has space."
                ) from error
            logger.warning("Data set %r, %s: %s", name, link, failures[link])
        if not left:
            break
    return failures


def figshare_api_link(url: str) -> str:
    """The address of a figshare file in the API's form; any other address as it is.

    Example:
        >>> figshare_api_link("https://ndownloader.figshare.com/files/13376504")
        'https://api.figshare.com/v2/file/download/13376504'
    """
    match = FIGSHARE_PAGE.fullmatch(url)
    return FIGSHARE_API.format(match[1]) if match else url


def load_quickstart() -> tuple[list[Structure], pd.DataFrame]:
    """Elemental crystals and their measured bulk moduli, shipped with ASE (``ase.collections.dcdft``).

    The structures are the ground states of the Delta project (Lejaeghere et al., Science 351, aad3000, 2016).

    Returns:
        The structures, and a table with columns material_id (the element) and bulk_modulus (GPa);
        ``table.attrs["left_out"]`` lists the elements without a measured value.
    """
    structures, rows, left_out = [], [], []
    for element in dcdft.names:
        bulk_modulus = dcdft.data[element].get("exp_B")
        if bulk_modulus is None:
            problem = LeftOut("ase.collections.dcdft", element, "bulk_modulus", "no measured value")
            left_out.append(asdict(problem))
            continue
        structures.append(as_structure(dcdft[element]))
        rows.append((element, float(bulk_modulus)))
    table = pd.DataFrame(rows, columns=["material_id", "bulk_modulus"])
    table.attrs["left_out"] = left_out
    return structures, table


@functools.lru_cache(maxsize=1)
def _metadata() -> dict[str, dict[str, Any]]:
    # Importing matminer.datasets for this file would cost seconds.
    spec = importlib.util.find_spec("matminer")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("matminer is not installed: pip install matminer")
    file = Path(spec.submodule_search_locations[0]) / "datasets" / "dataset_metadata.json"
    return json.loads(file.read_text(encoding="utf-8"))


def _entry(name: str) -> dict[str, Any]:
    known = _metadata()
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}?" if close else "`moe-mat data list` shows those there are."
    raise ValueError(f"There is no matminer data set {name!r}. {hint}")


def _structure(path: Path, row: Any, cell: Any) -> Structure:
    try:
        return as_structure(json.loads(cell) if isinstance(cell, str) else cell)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{path}, row {row}: no structure ({error!r})") from error


def _download(link: str, path: Path, *, sha256: str, timeout: float) -> None:
    """Fetch into a temporary file beside `path`, check, rename."""
    logger.info("Fetching %s to %s", link, path)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns, console=console, disable=not (console.is_terminal and logger.isEnabledFor(logging.INFO))
    ) as progress:
        downloader = pooch.HTTPDownloader(
            progressbar=_DownloadBar(progress, path.name),
            chunk_size=CHUNK_BYTES,
            timeout=timeout,
            # Without this a server may compress what is compressed, and the checksum would be of something else.
            headers={"Accept-Encoding": "identity"},
        )
        pooch.retrieve(link, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent, downloader=downloader)


class _DownloadBar:
    """What pooch expects of a progress bar, on rich's."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None)

    @property
    def total(self) -> float | None:
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, size: int) -> None:
        self._progress.update(self._task, total=size)

    def update(self, size: int) -> None:
        self._progress.advance(self._task, size)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop_task(self._task)
