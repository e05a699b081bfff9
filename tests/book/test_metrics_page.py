"""The page of the metrics says what they return."""

from tools.chapters import ROOT
from tools.draw_metrics import COLUMNS, table

PAGE = (ROOT / "book" / "appendix" / "metrics.md").read_text(encoding="utf-8")


def test_the_table_is_what_the_metrics_return():
    assert table() in PAGE  # else: python -m tools.draw_metrics prints the new one


def test_every_score_is_explained():
    assert all(f"`{name}`" in PAGE for name in [*COLUMNS, "seg", "iou"])
