"""The paper's numbers stand in one place, and every table in the book agrees with it."""

import re

import nbformat

from tools.chapters import ROOT
from unet_edu import datasets, metrics, paper

BOARDS = {"Table 1": (paper.TABLE1, ("warping_error", "rand_error", "pixel_error")),
          "Table 2": (paper.TABLE2, ("phc-u373", "dic-hela"))}  # fmt: skip


def test_the_rows_of_u_net():
    assert list(paper.TABLE1["u-net"].values()) == [0.000353, 0.0382, 0.0611]
    assert list(paper.TABLE1["human"].values()) == [0.000005, 0.0021, 0.0010]
    assert (paper.LATER_BOARD["u-net"]["v_rand"], paper.LATER_BOARD["u-net"]["v_info"]) == (0.97276, 0.98662)
    assert paper.TABLE2["u-net"] == {"phc-u373": 0.9203, "dic-hela": 0.7756}
    assert paper.TABLE2["HOUS-US (2014)"]["dic-hela"] is None
    assert (paper.TIME["training_hours"], paper.TIME["memory_gb"], paper.TIME["image_seconds_below"]) == (10, 6, 1)


def test_every_row_has_every_column_under_the_library_s_name():
    for rows, columns in BOARDS.values():
        assert all(tuple(row) == columns for row in rows.values())
    assert all(hasattr(metrics, name) for name in BOARDS["Table 1"][1])
    assert set(BOARDS["Table 2"][1]) < set(datasets.REAL)
    assert all(tuple(row) == ("v_rand", "v_info", "source") for row in paper.LATER_BOARD.values())


def test_u_net_was_first_where_the_paper_says_so():
    assert min(set(paper.TABLE1) - {"human"}, key=lambda row: paper.TABLE1[row]["warping_error"]) == "u-net"
    for name in ("phc-u373", "dic-hela"):
        assert max(paper.TABLE2, key=lambda row: paper.TABLE2[row][name] or 0) == "u-net"


def test_the_table_of_chapter_1_is_the_paper_s():
    [path] = (ROOT / "book").glob("01_*.ipynb")
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    [table] = re.findall(r"^\| Table 1 of the paper.*\n((?:\|.*\n)+)", text, re.M)
    quoted = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    assert len(quoted) >= 5
    for _, *values in quoted:
        assert [float(value) for value in values] in [list(row.values()) for row in paper.TABLE1.values()]
