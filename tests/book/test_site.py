"""The built site in a browser: it asks nobody for anything, moves by key, and serves readers who do not see it.

Needs a Chromium; the pages come from file://, and there is no network.
"""

import hashlib
import re
import shutil
import tomllib
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from tools import build_book
from tools.chapters import ROOT, chapters

HTML = ROOT / "_build" / "html"
PAGES = ["index", *(path.stem for path in chapters()),
         *(f"appendix/{path.stem}" for path in sorted((ROOT / "book" / "appendix").glob("*.md")))]  # fmt: skip
LARGEST = 1_500_000  # bytes of a page and its pictures
MATHJAX = "300480069078b5892d2363a2b65e2dfbbf30fe5c80f83edbfecf4610fd093862"  # of mathjax 3.2.2, as npm has it


@pytest.fixture(scope="module")
def site():
    """The pages, built anew where a source is younger."""
    sources = [path for folder in ("book", "unet_edu", "data", "web", "tools") for path in (ROOT / folder).rglob("*")]
    newest = max(path.stat().st_mtime for path in sources if path.is_file() and path.suffix != ".pyc")
    index = HTML / "index.html"
    if not index.is_file() or index.stat().st_mtime < newest:
        assert build_book.main([]) == 0
    pages = {path for path in HTML.rglob("*.html") if "_static" not in path.parts}
    return sorted(pages - {index})  # which only leads to the first page


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = [own] if Path(own).is_file() else [path for path in map(shutil.which, names) if path]
        if not found:
            pytest.skip("no Chromium here: install one, or run `playwright install chromium`")
        browser = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a page without a network; returns it and the list of what went wrong, which keeps growing."""
    contexts = []

    def open_page(path, width=1280, theme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, color_scheme=theme,
                                      reduced_motion="reduce")  # fmt: skip
        contexts.append(context)
        page, wrong = context.new_page(), []
        page.add_init_script(f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')")
        page.on("console", lambda said: said.type in ("error", "warning") and wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url[:200]}"))
        own = ("data:", "blob:", HTML.as_uri() + "/")
        page.on("request", lambda request: request.url.startswith(own) or wrong.append(f"asked for {request.url}"))
        page.goto(path.as_uri())
        page.evaluate("window.MathJax?.startup?.promise")
        return page, wrong

    yield open_page
    for context in contexts:
        context.close()


def test_a_request_outside_and_an_error_are_noticed(visit, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<img src='https://example.org/a.png'><script>null.x</script>")
    _, wrong = visit(page)
    text = "\n".join(wrong)
    assert "asked for https://example.org/a.png" in text
    assert "Cannot read properties of null" in text


def test_the_front_door_leads_in(site, browser):
    page = browser.new_page()
    page.goto((HTML / "index.html").as_uri())
    page.wait_for_url((HTML / "book" / "index.html").as_uri())
    page.close()


def test_every_page_stands_alone(site, visit):
    for path in site:
        page, wrong = visit(path)
        broken = "[...document.images].filter(i => i.loading != 'lazy' && !i.naturalWidth).map(i => i.src.slice(0, 99))"
        assert page.evaluate(broken) == [], path.name
        formulas = page.locator("article .math").count()
        assert page.locator("article mjx-container").count() >= formulas, path.name
        if "_modules" not in path.parts:
            page.set_viewport_size({"width": 390, "height": 844})  # a phone
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
        assert not wrong, path.name
        page.context.close()


@pytest.mark.parametrize("chapter", chapters(), ids=lambda path: path.stem)
def test_every_chapter_opens_in_colab(chapter, site):
    page = (HTML / "book" / f"{chapter.stem}.html").read_text(encoding="utf-8")
    repository = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    place = f"{repository.removeprefix('https://github.com/')}/blob/main/book/{chapter.name}"
    links = set(re.findall(r'href="(https://colab[^"]+)"', page))
    assert links == {f"https://colab.research.google.com/github/{place}"}


def test_scripts_are_those_that_were_looked_at(site):
    [mathjax] = HTML.rglob("tex-mml-chtml.js")
    assert hashlib.sha256(mathjax.read_bytes()).hexdigest() == MATHJAX


def chapters_and_more(site):
    """The pages of the book proper, without those of the index and of source code."""
    return [path for path in site if path.is_relative_to(HTML / "book")]


def test_pages_are_light(site):
    for path in chapters_and_more(site):
        html = path.read_text(encoding="utf-8")
        images = {(path.parent / name).resolve() for name in re.findall(r'<img\b[^>]*\bsrc="([^":]+)"', html)}
        size = path.stat().st_size + sum(image.stat().st_size for image in images)
        assert size <= LARGEST, f"{path.name}: {size} bytes"


def figures_of(chapter):
    return sum("explore(" in cell.source for cell in nbformat.read(chapter, 4).cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", ["index", *(path.stem for path in chapters())])
def test_every_slider_moves_its_picture_by_key(name, site, visit):
    page, wrong = visit(HTML / "book" / f"{name}.html")
    expected = 1 if name == "index" else figures_of(ROOT / "book" / f"{name}.ipynb")
    assert page.locator(".explore").count() == expected
    for figure in page.locator(".explore").all():
        for slider in figure.locator("input").all():
            before = seen(figure, slider)
            slider.press("ArrowLeft" if slider.input_value() == slider.get_attribute("max") else "ArrowRight")
            after = seen(figure, slider)
            assert all(old != new for old, new in zip(before, after, strict=True)), (before[1:], after[1:])
            assert figure.locator("[role=status]").inner_text() == after[1]
    assert not wrong


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_first_page_says_all_on_one_screen(site, visit, theme):
    page, _ = visit(HTML / "book" / "index.html", theme=theme)
    box = page.locator(".front").bounding_box()
    assert box["y"] + box["height"] <= 900
    assert page.locator(".front table").is_visible()
    assert "claims in" in page.locator(".front").inner_text()


def seen(figure, slider):
    """The one picture that is visible, its text, and the slider's value for eyes and for ears."""
    [image] = [image for image in figure.locator("img").all() if image.is_visible()]
    value = slider.locator("+ b").inner_text()
    assert value == slider.get_attribute("aria-valuetext")
    return image.get_attribute("src"), image.get_attribute("alt"), value


def serious(page):
    found = [violation for violation in Axe().run(page).response["violations"]
             if violation["impact"] in ("serious", "critical")]  # fmt: skip
    return "\n".join(f"{v['id']}: {node['html'][:300]}" for v in found for node in v["nodes"])


def test_bars_are_noticed(visit, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<html lang=en><title>A</title><main><img src='data:,'><p style='color:#bbb'>pale</p></main>")
    found = serious(visit(path)[0])
    assert "image-alt" in found
    assert "color-contrast" in found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_serious_bars_a_reader(site, visit, name, theme):
    page, _ = visit(HTML / "book" / f"{name}.html", theme=theme)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert not serious(page)
