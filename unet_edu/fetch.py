"""Bring a real data set from its publisher, once, and verify its pixels."""

import os
import time
import zipfile
from pathlib import Path, PurePosixPath

from unet_edu import datasets
from unet_edu.progress import status_line


def fetch(name, root=None, *, progress=True):
    """Download and unpack a data set unless it is there already; a file appears only when it is verified.

    Parameters
    ----------
    name : a real set: "isbi2012", "phc-u373", "dic-hela"
    root : folder to put it in; None: $UNET_EDU_DATA, else the cache
    progress : show a progress line

    Returns
    -------
    Path of the folder with the files

    Raises
    ------
    ValueError : an unknown name
    OSError : no network, no room, no permission, an archive whose pixels are not the published ones
    """
    _check_real(name)
    place = Path(root or os.environ.get("UNET_EDU_DATA") or datasets.cache_dir())
    folder = place / name
    if not problems(name, folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    archive = _download(datasets.REAL[name], folder, progress)
    try:
        with zipfile.ZipFile(archive) as opened:
            for file, expected in datasets.REAL[name]["files"].items():
                _unpack(opened, file, folder, expected)
    except zipfile.BadZipFile as error:
        raise OSError(f"{datasets.REAL[name]['archive']} is no zip archive ({error}); try again later") from error
    finally:
        archive.unlink()
    return folder


def problems(name, folder=None):
    """What is wrong with the files of a real set: one sentence a file, none if all is well."""
    _check_real(name)
    folder = datasets.find(name) if folder is None else Path(folder)
    found = []
    for file, expected in datasets.REAL[name]["files"].items():
        try:
            datasets.verified(folder / file, expected, name)
        except (OSError, ValueError) as error:
            found.append(str(error))
    return found


def _download(entry, folder, progress):
    import pooch  # only here: reading data must not need it

    known = entry["archive_sha256"] and f"sha256:{entry['archive_sha256']}"
    line = _Bytes(entry["archive"]) if progress else False
    downloader = pooch.HTTPDownloader(progressbar=line, timeout=60)
    pooch.get_logger().setLevel("WARNING")
    return Path(pooch.retrieve(entry["archive"], known, "archive.zip", folder, downloader=downloader))


def _unpack(archive, file, folder, expected):
    wanted = PurePosixPath(file).parts  # the end of the path, as one name occurs in several folders
    members = [
        member
        for member in archive.namelist()
        if PurePosixPath(member).parts[-len(wanted) :] == wanted and not member.startswith("__MACOSX")
    ]
    if not members:
        raise OSError(f"the archive holds no {file}, only {', '.join(archive.namelist()[:8])}")
    partial = folder / f"{wanted[-1]}.partial"
    try:
        partial.write_bytes(archive.read(members[0]))
        datasets.verified(partial, expected)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, folder / file)
    except ValueError as error:
        raise OSError(f"the archive holds another {file} than the published one: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _check_real(name):
    if name not in datasets.REAL:
        raise ValueError(f"name={name!r}: only real sets can be fetched: {', '.join(datasets.REAL)}")


class _Bytes:
    """What pooch reports its progress to: one line."""

    def __init__(self, url):
        self.url, self.total, self.done, self.due = url, 0, 0, 0.0
        self.line = status_line()

    def update(self, count):
        self.done += count
        if time.perf_counter() >= self.due:
            self.due = time.perf_counter() + self.line.interval
            self.line.write(self._text())

    def reset(self):
        self.done = 0

    def close(self):
        self.line.close(self._text())

    def _text(self):
        total = f" of {self.total / 1e6:.1f}" if self.total else ""
        return f"downloading {self.url}: {self.done / 1e6:.1f}{total} MB"
