"""Files that travel with the library: the data manifest, recorded results, small trained networks."""

from pathlib import Path


def data_path(name: str) -> Path:
    """Path of data/`name`: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "_data" / name
    return installed if installed.exists() else package.parent / "data" / name
