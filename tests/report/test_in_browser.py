"""The page as a person uses it, in headless Chromium (Debian's chromium and chromium-driver)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retrain_tools.report.graph_page import graph_page

from .graphs import (
    SMALL_DTYPES,
    SMALL_PATH,
    SMALL_SHAPES,
    add,
    flat_network,
    hostile_network,
    small_network,
)

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
if not (CHROMIUM.exists() and DRIVER.exists()):
    pytest.skip(f"no browser here: {CHROMIUM} and {DRIVER}", allow_module_level=True)
pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")

from selenium import webdriver  # noqa: E402
from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1400,900",
)  # fmt: skip

Open = Callable[..., "Page"]


class Page:
    """A page in the browser and what a person does with it."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser
        self.script = browser.execute_script

    def find(self, css: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, css)

    def texts(self, css: str) -> list[str]:
        return [e.text for e in self.browser.find_elements(By.CSS_SELECTOR, css)]

    def labels(self) -> list[str]:
        """What a screen reader says of the drawn boxes, without what follows the name."""
        boxes = self.browser.find_elements(By.CSS_SELECTOR, "#drawing [role=button]")
        return [str(box.get_attribute("aria-label")).split(",")[0] for box in boxes]

    def box(self, label: str) -> WebElement:
        boxes = self.browser.find_elements(By.CSS_SELECTOR, "#drawing [role=button]")
        said = [str(box.get_attribute("aria-label")) for box in boxes]
        return boxes[next(n for n, text in enumerate(said) if text.startswith(f"{label},"))]

    def click(self, element: WebElement) -> None:
        ActionChains(self.browser).move_to_element(element).click().perform()

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def search(self, text: str) -> list[str]:
        query = self.find("#query")
        query.clear()
        query.send_keys(text)
        return self.texts("#results .result .name")

    def heading(self) -> str:
        return self.find("#panel h2").text

    def rows(self) -> dict[str, str]:
        cells = self.texts("#panel th"), self.texts("#panel td")
        return dict(zip(*cells, strict=True))

    def view(self) -> str:
        return str(self.find("#drawing").get_attribute("transform"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=str(DRIVER))
    with webdriver.Chrome(options=options, service=service) as driver:
        yield driver


@pytest.fixture
def opened(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Open]:
    """A function that makes a page of a graph and opens it; no error may be logged meanwhile."""

    def make(graph_def: Any, *arguments: Any, **named: Any) -> Page:
        file = tmp_path / "graph.html"
        text = graph_page(graph_def, "graph.pb", *arguments, **named)
        file.write_text(text, encoding="utf-8")
        browser.get("about:blank")
        browser.get(file.as_uri())
        assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"
        return Page(browser)

    yield make
    assert [entry["message"] for entry in browser.get_log("browser")] == []


@pytest.fixture
def small(opened: Open) -> Page:
    graph_def = small_network()
    add(graph_def, "conv_1/copy", "Identity", "conv")
    return opened(
        graph_def, SMALL_SHAPES, SMALL_DTYPES, SMALL_PATH, "pool:0", {"Kind": "frozen GraphDef"}
    )


def test_it_opens_with_the_top_level_and_the_facts(small: Page) -> None:
    assert small.labels() == ["input", "Scope conv", "Scope conv_1", "pool", "Scope logits"]
    assert small.find("h1").text == "graph.pb"
    assert small.texts("#panel .go .name") == ["conv/weights"]  # the kernels of the first layer
    assert small.rows()["Kind"] == "frozen GraphDef"
    assert small.rows()["Nodes"] == "15"
    # The edges from `conv` into `conv_1` are one, with its tensor's shape and their number.
    assert "16×16×8 · 2 edges" in small.texts(".link-label")


def test_a_click_opens_a_scope_in_place_and_another_closes_it(small: Page) -> None:
    box = small.box("Scope conv")
    before = box.rect
    small.click(box)
    assert "conv/Conv2D" in small.labels()
    header = small.box("Scope conv")
    assert header.get_attribute("aria-expanded") == "true"
    assert header.rect["y"] == pytest.approx(before["y"], abs=2)
    small.click(header)
    assert "conv/Conv2D" not in small.labels()
    assert small.box("Scope conv").get_attribute("aria-expanded") == "false"


def test_search_by_name_opens_scopes_and_selects(small: Page) -> None:
    assert small.search("weights/re") == ["conv/weights/read", "conv_1/weights/read"]
    small.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
    assert small.heading() == "conv_1/weights/read"
    selected = small.find("#drawing .box.selected")
    assert selected.get_attribute("aria-label") == "conv_1/weights/read, Identity"
    stage = small.find("#stage").rect
    assert stage["x"] < selected.rect["x"] < stage["x"] + stage["width"]
    assert stage["y"] < selected.rect["y"] < stage["y"] + stage["height"]


def test_the_address_names_what_is_selected(small: Page) -> None:
    small.search("logits/MatMul")
    small.press(Keys.ENTER)
    address = small.browser.current_url
    assert address.endswith("#logits%2FMatMul")
    small.browser.get("about:blank")
    small.browser.get(address)
    assert small.heading() == "logits/MatMul"
    assert "logits/MatMul" in small.labels()


def test_search_by_op_and_for_nothing(small: Page) -> None:
    assert small.search("op:conv2d") == ["conv/Conv2D", "conv_1/Conv2D"]
    assert small.search("op:conv2d conv_1") == ["conv_1/Conv2D"]
    assert small.search("matm") == ["op:MatMul", "logits/MatMul"]
    assert small.search("placeholder") == ["op:Placeholder", "input"]
    assert small.search("nowhere") == []
    assert small.find("#results .summary").text == "No node has this in its name or op."


def test_the_panel_of_a_node_leads_to_its_neighbours(small: Page) -> None:
    small.search("conv/Conv2D")
    small.press(Keys.ENTER)
    assert small.heading() == "conv/Conv2D"
    rows = small.rows()
    assert rows == {":0": "float32 [?, 16, 16, 8]", "padding": "SAME", "strides": "[1, 2, 2, 1]"}
    assert small.texts("#panel .go .name") == ["input", "conv/weights/read", "conv/check", "conv"]
    small.click(small.find("#panel .go[title='conv']"))
    assert small.heading() == "conv"
    assert small.texts("#panel .tag") == ["Relu", "on the way to the bottleneck"]
    notes = small.texts("#panel .nodes .note")
    assert notes == ["16×16×8", "control", "", ""]


def test_a_constant_has_numbers_a_histogram_and_kernels(small: Page) -> None:
    small.search("conv/weights")
    small.press(Keys.ENTER)
    assert small.heading() == "conv/weights"
    rows = small.rows()
    assert {"min", "max", "mean", "std", "zeros", "NaN", "first"} <= set(rows)
    assert len(small.browser.find_elements(By.CSS_SELECTOR, ".histogram .bin")) == 24
    kernels = small.find("img.kernels")
    # 8 kernels of 3 × 3 in 2 rows of 4, a pixel apart: the image was decoded.
    size = [kernels.get_property("naturalWidth"), kernels.get_property("naturalHeight")]
    assert size == [15, 7]
    small.search("logits/weights")
    small.press(Keys.ENTER)
    assert small.rows()["NaN"] == "1 (25 %)"
    assert not small.browser.find_elements(By.CSS_SELECTOR, "img.kernels")


def test_the_way_to_the_bottleneck_is_highlighted(small: Page) -> None:
    marked = small.browser.find_elements(By.CSS_SELECTOR, "#drawing .box.path")
    names = [str(box.get_attribute("aria-label")).split(",")[0] for box in marked]
    assert names == ["input", "Scope conv", "Scope conv_1", "pool"]
    assert len(small.browser.find_elements(By.CSS_SELECTOR, ".link.path")) == 3
    assert small.texts(".badge-text") == ["image", "bottleneck"]
    small.click(small.find("#to-bottleneck"))
    assert small.heading() == "pool"


def test_keys(small: Page) -> None:
    small.press("/")
    assert small.browser.switch_to.active_element.get_attribute("id") == "query"
    small.press("p", "o", "o", "l", Keys.ENTER)
    assert small.heading() == "pool"
    assert small.browser.switch_to.active_element.get_attribute("aria-label") == "pool, Mean"
    small.press(Keys.TAB)  # boxes follow each other in the direction of the data
    assert "Scope logits" in str(small.browser.switch_to.active_element.get_attribute("aria-label"))
    small.press(Keys.ENTER)
    assert "logits/MatMul" in small.labels()
    assert small.heading() == "logits"
    small.press(Keys.ENTER)
    assert "logits/MatMul" not in small.labels()
    small.press(Keys.ESCAPE)
    assert small.heading() == "Overview"


def test_zoom_and_pan(small: Page) -> None:
    canvas = small.find("#canvas")
    views = [small.view()]
    small.click(small.find("#zoom-in"))
    views.append(small.view())
    small.press(Keys.ARROW_DOWN)
    views.append(small.view())
    ActionChains(small.browser).move_to_element_with_offset(
        canvas, -400, 0
    ).click_and_hold().move_by_offset(60, 40).release().perform()
    views.append(small.view())
    origin = webdriver.common.actions.wheel_input.ScrollOrigin.from_element(canvas)
    ActionChains(small.browser).scroll_from_origin(origin, 0, 120).perform()
    views.append(small.view())
    ActionChains(small.browser).key_down(Keys.CONTROL).scroll_from_origin(origin, 0, -120).key_up(
        Keys.CONTROL
    ).perform()
    views.append(small.view())
    assert len(set(views)) == len(views)
    assert small.heading() == "Overview"  # dragging selects nothing
    small.click(small.find("#zoom-fit"))
    whole, stage = small.find("#drawing").rect, small.find("#stage").rect
    assert whole["height"] <= stage["height"]
    assert whole["width"] <= stage["width"]


def test_boxes_lie_in_their_scopes_and_not_on_each_other(opened: Open) -> None:
    graph_def = small_network()
    for number in range(30):  # more than stand well beside each other
        add(graph_def, f"conv/extra_{number}", "Identity", "conv/weights")
        add(graph_def, f"lone/{number}", "NoOp")
    page = opened(graph_def, SMALL_SHAPES, SMALL_DTYPES, SMALL_PATH, "pool:0")
    closed = "#drawing [aria-expanded=false]"
    while page.browser.find_elements(By.CSS_SELECTOR, closed):
        page.script(
            "arguments[0].dispatchEvent(new KeyboardEvent('keydown', arguments[1]))",
            page.find(closed),
            {"key": "Enter", "bubbles": True},
        )
    places = page.script(
        """return [...document.querySelectorAll("#drawing .box")].map((box) => {
          const face = box.querySelector(":scope > .face").getBoundingClientRect();
          const outer = box.parentElement.closest(".box");
          const sides = [face.x, face.y, face.right, face.bottom];
          return [box.dataset.box, outer ? outer.dataset.box : "", ...sides];
        });"""
    )
    assert len(places) == len(graph_def.node) + 6
    areas = {box: area for box, _, *area in places}
    for _, outer, *area in places:
        if outer:
            left, top, right, bottom = areas[outer]
            assert left < area[0] and top < area[1] and area[2] < right and area[3] < bottom
    for (_, outer, *a), (_, other, *b) in itertools.combinations(places, 2):
        if outer == other:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_nothing_of_a_hostile_graph_is_executed(opened: Open) -> None:
    page = opened(hostile_network(), {}, {}, [], None, {"<img src=x>": "<b>bold</b>"})
    title = page.browser.title
    page.search("<")
    assert len(page.texts("#results .result")) >= 3
    assert page.texts("#results b, #results img") == []
    for number in range(3):
        page.search("a/<" if number < 2 else "--")
        page.press(*[Keys.ARROW_DOWN] * (number + 1 if number < 2 else 1), Keys.ENTER)
        assert "<" in page.heading()
    assert page.script("return document.querySelectorAll('img, b, script').length") == 3
    assert page.browser.title == title == "graph.pb"


def test_20_000_nodes_without_scopes_are_usable(opened: Open) -> None:
    graph_def = flat_network(20_001)
    path = ["input", *(f"Conv2D_{n}" for n in range(1, 5000))]
    page = opened(graph_def, {}, {}, path, "Relu_4999:0")
    first = page.labels()
    assert 2 <= len(first) <= 64
    assert all(label.startswith("Scope ") for label in first)
    page.click(page.box(first[1]))
    second = page.labels()
    assert len(first) < len(second) <= 128
    assert page.search("Relu_2718") == ["Relu_2718"]
    page.press(Keys.ENTER)
    assert page.heading() == "Relu_2718"
    assert page.texts("#panel .go .name") == ["Conv2D_2718", "axis_2718", "Conv2D_2719"]
    assert len(page.labels()) < 300
    page.click(page.find("#collapse"))
    assert page.labels() == first


def test_functions_broken_constants_and_an_empty_graph(opened: Open) -> None:
    graph_def = small_network()
    graph_def.library.function.add().signature.name = "square"
    graph_def.node[1].attr["value"].tensor.tensor_content = b"123"
    page = opened(graph_def, {}, {})
    assert "square" in page.texts("#panel .nodes .name")
    page.search("conv/weights")
    page.press(Keys.ENTER)
    assert page.find(".broken").text.startswith("Cannot be read: it holds 3 bytes")
    del graph_def.node[:]
    assert opened(graph_def, {}, {}).find("#stage").text == "This graph has no nodes."
