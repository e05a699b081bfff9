"""The paper's numbers stand in one place, typed a second time here."""

from unet_edu import datasets, metrics, paper

BOARDS = {"Table 1": (paper.TABLE1, ("warping_error", "rand_error", "pixel_error")),
          "Table 2": (paper.TABLE2, ("phc-u373", "dic-hela"))}  # fmt: skip


def test_the_rows_of_the_paper():
    assert {name: tuple(row.values()) for name, row in paper.TABLE1.items()} == {
        "human": (0.000005, 0.0021, 0.0010), "u-net": (0.000353, 0.0382, 0.0611),
        "DIVE-SCI": (0.000355, 0.0305, 0.0584), "IDSIA": (0.000420, 0.0504, 0.0613),
        "DIVE": (0.000430, 0.0545, 0.0582), "IDSIA-SCI": (0.000653, 0.0189, 0.1027),
    }  # fmt: skip
    assert (paper.LATER_BOARD["u-net"]["v_rand"], paper.LATER_BOARD["u-net"]["v_info"]) == (0.97276, 0.98662)
    assert {name: tuple(row.values()) for name, row in paper.TABLE2.items()} == {
        "IMCB-SG (2014)": (0.2669, 0.2935), "KTH-SE (2014)": (0.7953, 0.4607), "HOUS-US (2014)": (0.5323, None),
        "second-best 2015": (0.83, 0.46), "u-net": (0.9203, 0.7756),
    }  # fmt: skip
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
