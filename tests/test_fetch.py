import http.server
import threading
import zipfile

import numpy as np
import pytest
import tifffile

from unet_edu import cli, datasets
from unet_edu.fetch import _Bytes, fetch, problems


@pytest.fixture
def server(tmp_path):
    """A server on this machine: its address, the folder it publishes and the requests it has had."""
    site = tmp_path / "site"
    site.mkdir()
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=site)

        def log_message(self, *_):
            requests.append(self.path)

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", site, requests
    running.shutdown()


@pytest.fixture
def publisher(server, tmp_path, monkeypatch):
    """A small archive in the place of the official one."""
    address, site, requests = server
    rng = np.random.default_rng(0)
    entry = {**datasets.REAL["isbi2012"], "archive": f"{address}/archive.zip", "files": {}}
    with zipfile.ZipFile(site / "archive.zip", "w") as archive:
        for name in datasets.REAL["isbi2012"]["files"]:
            pixels = rng.integers(0, 2, (30, 8, 9), dtype=np.uint8)
            tifffile.imwrite(tmp_path / name, pixels)
            archive.write(tmp_path / name, f"challenge/{name}")
            archive.writestr(f"__MACOSX/challenge/{name}", b"resource fork")
            entry["files"][name] = {"shape": [30, 8, 9], "dtype": "uint8",
                                    "pixels_sha256": datasets.pixels_sha256([pixels])}  # fmt: skip
    monkeypatch.setitem(datasets.REAL, "isbi2012", entry)
    monkeypatch.delenv("UNET_EDU_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return site, requests


@pytest.fixture
def cells_publisher(server, tiny_cells):
    """An archive like the challenge's: everything in a folder, and frames that nobody annotated."""
    address, site, _ = server
    datasets.REAL["dic-hela"]["archive"] = f"{address}/archive.zip"
    folder = tiny_cells / "dic-hela"
    with zipfile.ZipFile(site / "archive.zip", "w") as archive:
        for path in sorted(folder.rglob("*.tif"), reverse=True):  # silver truth before gold, 02 before 01
            file = path.relative_to(folder).as_posix()
            archive.writestr(f"__MACOSX/DIC-C2DH-HeLa/{file}", b"resource fork")
            archive.write(path, f"DIC-C2DH-HeLa/{file}")
        archive.write(folder / "01/t003.tif", "DIC-C2DH-HeLa/01/t004.tif")
        archive.write(folder / "02/t003.tif", "DIC-C2DH-HeLa/1/t003.tif")
    return folder


def test_fetched_data_loads(publisher):
    folder = fetch("isbi2012", progress=False)
    assert folder == datasets.cache_dir() / "isbi2012"
    assert sorted(p.name for p in folder.iterdir()) == sorted(datasets.REAL["isbi2012"]["files"])
    assert len(datasets.load("isbi2012").images) == 30
    assert problems("isbi2012") == []


def test_nothing_is_downloaded_twice(publisher):
    _, requests = publisher
    fetch("isbi2012", progress=False)
    fetch("isbi2012", progress=False)
    assert len(requests) == 1


def test_damaged_files_are_fetched_again(publisher):
    folder = fetch("isbi2012", progress=False)
    (folder / "test-volume.tif").write_bytes(b"")
    assert "test-volume.tif" in problems("isbi2012")[0]
    fetch("isbi2012", progress=False)
    assert problems("isbi2012") == []


def test_other_pixels_leave_nothing_behind(publisher):
    datasets.REAL["isbi2012"]["files"]["train-volume.tif"]["pixels_sha256"] = "0" * 64
    with pytest.raises(OSError, match="another train-volume.tif than the published one"):
        fetch("isbi2012", progress=False)
    assert list((datasets.cache_dir() / "isbi2012").iterdir()) == []


def test_no_archive(publisher):
    site, _ = publisher
    (site / "archive.zip").write_bytes(b"<html>moved</html>")
    with pytest.raises(OSError, match="no zip archive"):
        fetch("isbi2012", progress=False)
    assert list((datasets.cache_dir() / "isbi2012").iterdir()) == []


def test_archive_without_the_file(publisher):
    site, _ = publisher
    with zipfile.ZipFile(site / "archive.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(OSError, match=r"holds no train-volume.tif, only readme.txt"):
        fetch("isbi2012", progress=False)


def test_command(publisher, capsys, monkeypatch):
    assert cli.main(["data", "verify", "isbi2012"]) == 2
    assert "run: unet-edu data fetch isbi2012" in capsys.readouterr().err
    assert cli.main(["data", "fetch", "isbi2012"]) == 0
    output = capsys.readouterr()
    assert "verified in" in output.out
    assert "non-commercial" in output.out
    assert "downloading http" in output.err
    assert " MB" in output.err
    assert cli.main(["data", "verify", "isbi2012"]) == 0
    assert "every pixel as published" in capsys.readouterr().out


def test_command_without_network(publisher, capsys):
    datasets.REAL["isbi2012"]["archive"] = "http://127.0.0.1:9/archive.zip"
    assert cli.main(["data", "fetch", "isbi2012"]) == 1
    assert capsys.readouterr().err.startswith("unet-edu: ")
    assert not datasets.available("isbi2012")  # so that the book still falls back to synthetic images, aloud


def test_command_puts_data_where_it_is_told(publisher, tmp_path):
    assert cli.main(["data", "fetch", "isbi2012", "--root", str(tmp_path / "here")]) == 0
    assert cli.main(["data", "verify", "isbi2012", "--root", str(tmp_path / "here")]) == 0
    assert not datasets.available("isbi2012")


def test_synthetic_data_cannot_be_fetched(capsys):
    assert cli.main(["data", "fetch", "synthetic-membranes"]) == 2
    assert "only real sets can be fetched: isbi2012, phc-u373, dic-hela" in capsys.readouterr().err


def test_fetched_to_the_named_folder(publisher, monkeypatch, tmp_path):
    monkeypatch.setenv("UNET_EDU_DATA", str(tmp_path / "named"))
    assert fetch("isbi2012", progress=False) == tmp_path / "named" / "isbi2012"


def test_an_archive_with_another_digest_is_refused(publisher):
    datasets.REAL["isbi2012"]["archive_sha256"] = "0" * 64
    with pytest.raises(ValueError, match="hash"):
        fetch("isbi2012", progress=False)
    assert not any((datasets.cache_dir() / "isbi2012").glob("*.tif"))


def test_resource_forks_are_passed_over_wherever_they_stand(publisher):
    site, _ = publisher
    with zipfile.ZipFile(site / "archive.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(site / "archive.zip", "w") as archive:
        for name in sorted(members):  # __MACOSX first
            archive.writestr(name, members[name])
    fetch("isbi2012", progress=False)
    assert problems("isbi2012") == []


def test_silent_when_told(publisher, capsys):
    fetch("isbi2012", progress=False)
    assert "downloading" not in capsys.readouterr().err


def test_download_line_counts_bytes(capsys, monkeypatch):
    line = _Bytes("http://x")
    line.total = 2_000_000
    line.update(500_000)
    line.update(1_000_000)
    line.close()
    assert capsys.readouterr().err.splitlines()[-1] == "downloading http://x: 1.5 of 2.0 MB"


def test_fetched_cells_lie_in_their_folders(cells_publisher):
    folder = fetch("dic-hela", progress=False)
    assert folder == datasets.cache_dir() / "dic-hela"
    held = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert held == sorted(datasets.REAL["dic-hela"]["files"])
    for file in held:
        assert (folder / file).read_bytes() == (cells_publisher / file).read_bytes()
    assert len(datasets.load("dic-hela").images) == 3
    assert problems("dic-hela") == []


def test_problems_in_subfolders_name_the_set(cells_publisher):
    fetch("dic-hela", progress=False)
    path = datasets.cache_dir() / "dic-hela" / "02_GT" / "SEG" / "man_seg003.tif"
    path.unlink()
    assert problems("dic-hela") == [f"{path} is missing; run: unet-edu data fetch dic-hela"]
    assert fetch("dic-hela", progress=False)
    assert problems("dic-hela") == []


def test_other_cells_leave_nothing_behind(cells_publisher):
    for entry in datasets.REAL["dic-hela"]["files"].values():
        entry["pixels_sha256"] = "0" * 64
    with pytest.raises(OSError, match="another 01/t003.tif than the published one"):
        fetch("dic-hela", progress=False)
    assert list((datasets.cache_dir() / "dic-hela").iterdir()) == []


def test_archive_without_a_frame(cells_publisher):
    files = datasets.REAL["dic-hela"]["files"]
    files["01_GT/SEG/man_seg011.tif"] = files["01_GT/SEG/man_seg010.tif"]
    with pytest.raises(OSError, match="holds no 01_GT/SEG/man_seg011.tif, only "):
        fetch("dic-hela", progress=False)


def test_command_for_cells(cells_publisher, capsys):
    assert cli.main(["data", "fetch", "dic-hela"]) == 0
    assert "terms: Publications cite Ulman et al. 2017" in capsys.readouterr().out
    assert cli.main(["data", "verify", "dic-hela"]) == 0
    assert "dic-hela: every pixel as published" in capsys.readouterr().out
