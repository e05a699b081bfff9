"""Files and folders that appear whole or not at all."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path):
    """A path to write a file or folder to: it appears under `path`, in place of an old one, once the block is done."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    _remove(partial)
    try:
        yield partial
        if partial.is_dir():
            _remove(path)  # a folder cannot be replaced in one step
        os.replace(partial, path)
    finally:
        _remove(partial)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
