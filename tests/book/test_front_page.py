"""The first page shows a figure that a chapter made and numbers that are derived, missed targets included."""

import re

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import front_page, show_paper_map
from tools.chapters import ROOT
from tools.show_results import recorded
from unet_edu.reproduce.tables import TARGETS


def job(profile, experiment, data, metrics):
    return {"experiment": experiment, "variant": "paper", "profile": profile, "rotations": 7, "data": {"name": data},
            "metrics": metrics}  # fmt: skip


EM = {"pixel_error": 0.0555, "rand_error": 0.02, "warping_error": 0.0001, "v_rand": 0.99, "v_info": 0.95}
CPU = [job("cpu", "table1", "isbi2012", EM), job("cpu", "table2", "phc-u373", {"seg": 0.95})]


def rows(text):
    return {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}


def chapter(*outputs):
    made = [new_output("display_data", {"text/html": html}) for html in outputs]
    said = new_output("stream", text="Data: synthetic-membranes, 20 images")
    return new_notebook(cells=[new_code_cell("explore(frame)", outputs=[said, *made])])


def test_every_mark_stands_once_and_nothing_is_typed():
    text = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    for mark in (front_page.FIGURE, front_page.DATA, front_page.COUNTS, front_page.REACHED):
        assert text.count(mark) == 1
    typed = text.partition("## The chapters")[0]
    assert not re.findall(r"0\.\d|\d+ (?:claims|statements|chapters)", typed)


def test_the_figure_and_its_data_are_those_of_the_chapter(tmp_path):
    moving = '<div class="explore"><img src="data:,"></div>'
    executed = {ROOT / "book" / "09_x.ipynb": chapter("<p>other</p>"),
                ROOT / "book" / f"{front_page.CHAPTER}.ipynb": chapter("<b>1</b>", moving)}  # fmt: skip
    page = tmp_path / "index.md"
    page.write_text(f"{front_page.FIGURE}\n\nA slice {front_page.DATA}.")
    front_page.fill_in(executed, page)
    assert page.read_text() == f"```{{raw}} html\n{moving}\n```\n\nA slice of `synthetic-membranes`."
    with pytest.raises(ValueError, match="not enough"):  # it must not vanish in silence
        front_page.figure(chapter("<b>1</b>"))


def test_the_counts_are_those_of_the_paper_map():
    page, text = show_paper_map.PAGE.read_text(encoding="utf-8"), front_page.counts()
    count = dict(re.findall(r"^\| (asserted|measured|deviates) \| (\d+) \|", page, re.M))
    [claims] = re.findall(r"^\| all \| (\d+) \|", page, re.M)
    [statements] = re.findall(r"^## (\d+) statements", page, re.M)
    assert f"Of {statements} [" in text
    assert f"{count['asserted']} are asserted by code, {count['measured']} measured, {count['deviates']} done" in text
    assert f"{claims} claims in 14 chapters" in text


def test_what_was_missed_and_what_was_not_measured_is_said():
    text = front_page.reached(CPU)
    assert "At full width (profile `paper`) nothing is measured yet." in text
    assert "At base width 16 (profile `cpu`) 2 of 6 measured targets are missed." in text  # pixel error, V_info
    row = rows(text)["base width 16"]
    assert "| 0.0555, missed | 0.02, aim reached | 0.95, aim reached | not measured | not measured |" in row
    assert "full width" not in rows(text)
    assert "| 0.0611 | 0.0382 | 0.9203 | 0.7756 | 1 s |" in rows(text)["the paper"]
    assert "| 0.05 | 0.0382 | 0.9203 | 0.7756 | 0.02 s |" in rows(text)["target, full width"]


def test_profiles_do_not_mix():
    text = front_page.reached([*CPU, job("paper", "table1", "isbi2012", {**EM, "pixel_error": 0.045})])
    assert "| 0.045, reached |" in rows(text)["full width"]
    assert "| 0.0555, missed |" in rows(text)["base width 16"]


def test_shown_quantities_exist():
    assert front_page.SHOWN.keys() <= {target.quantity for target in TARGETS}
    jobs = [one for experiment in recorded().values() for one in experiment]
    assert front_page.reached(jobs).count("|") > 20


def test_the_readme_says_so_as_long_as_nothing_was_measured_at_full_width():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = any(one["profile"] == "paper" for experiment in recorded().values() for one in experiment)
    assert ("nothing is measured at full width yet" in readme) != measured
