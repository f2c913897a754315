"""Airflow's UI in a headless Chromium, as a person uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from playwright.sync_api import Locator, Page, expect, sync_playwright

from needs import program

FLAGS = [
    "--no-sandbox",  # for root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WITHOUT_SECTION = "Run Parameters"
"""What Airflow calls the fields of no section, which are the first that a person sees."""
ACTION_TIMEOUT_MS = 30_000
RUN_TIMEOUT_MS = 150_000


@contextmanager
def chromium_page(url: str) -> Iterator[Page]:
    """A page of the system's Chromium. Skips the test where there is none, and fails it in CI."""
    chromium = program("chromium", "chromium-browser", "google-chrome", hint="make tools installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(base_url=url, viewport={"width": 1280, "height": 960})
        page.set_default_timeout(ACTION_TIMEOUT_MS)
        expect.set_options(timeout=ACTION_TIMEOUT_MS)
        try:
            yield page
        finally:
            browser.close()


class TriggerForm:
    """The dialog "Trigger" of a DAG."""

    def __init__(self, page: Page, dag_id: str) -> None:
        self._page = page
        page.goto(f"/dags/{dag_id}")
        page.get_by_role("button", name="Trigger").first.click()
        self._dialog = page.locator("[role=dialog][data-scope=dialog]")
        expect(self._sections().first).to_be_visible()

    def _sections(self) -> Locator:
        return self._dialog.locator("[data-scope=accordion][data-part=item-trigger]")

    def required(self) -> list[str]:
        """The fields that say that they are required."""
        labels = self._dialog.get_by_text("(required)").all_text_contents()
        return [label.strip().removesuffix(" (required)") for label in labels]

    def red_fields(self) -> list[str]:
        """The fields of every section that are marked as wrong."""
        red = []
        for section in self._sections().all():
            if section.get_attribute("data-state") != "open":
                section.click()
            expect(section).to_have_attribute("data-state", "open")
            red += self._dialog.locator("[data-invalid]:visible").all_inner_texts()
        return red

    def visible(self) -> set[str]:
        """The fields that a person sees now."""
        fields = self._dialog.locator("[name^=element_]:visible").all()
        return {str(field.get_attribute("name")).removeprefix("element_") for field in fields}

    def fill(self, section: str = WITHOUT_SECTION, **values: str) -> None:
        """Open the section, type into its fields, and leave them."""
        heading = self._dialog.get_by_role("button", name=section, exact=True)
        if heading.get_attribute("data-state") != "open":
            heading.click()
        for name, text in values.items():
            self._field(name).click()
            self._page.keyboard.press("ControlOrMeta+A")
            self._page.keyboard.type(text)
            self._page.keyboard.press("Tab")

    def value(self, name: str) -> str:
        """What a field holds."""
        return self._field(name).input_value()

    def refusal(self, name: str) -> str:
        """Press Trigger; what the form then says is wrong with a field."""
        self._press()
        return self._dialog.get_by_text(f"Invalid input for param {name}:").inner_text()

    def trigger(self) -> RunPage:
        """Press Trigger; the page of the run."""
        self._press()
        self._page.wait_for_url("**/runs/**")
        return RunPage(self._page)

    def picture(self, file: Path) -> None:
        """What a person sees now."""
        self._page.wait_for_timeout(500)  # until the section has unfolded
        self._page.screenshot(path=file)

    def _press(self) -> None:
        self._dialog.get_by_role("button", name="Trigger").last.click()

    def _field(self, name: str) -> Locator:
        return self._dialog.locator(f"[name=element_{name}]")


class RunPage:
    """The pages of one run."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._url = page.url

    @property
    def run_id(self) -> str:
        """As it stands in the address."""
        return unquote(self._url.rpartition("/")[2])

    def wait_until(self, state: str) -> None:
        """Watch the run's page, without loading it again, until it says `Success` or `Failed`."""
        badge = self._page.get_by_test_id("header-card").get_by_test_id("state-badge")
        expect(badge).to_have_text(state, timeout=RUN_TIMEOUT_MS)

    def open_task(self, task_id: str) -> None:
        """From the run's page to that of a task that is not mapped."""
        self._page.goto(self._url)
        self._page.get_by_role("table").get_by_role("link", name=task_id, exact=True).click()
        self._page.wait_for_url(f"**/tasks/{task_id}")

    def log(self) -> str:
        """The log of the open task."""
        self._tab("Logs")
        lines = self._page.get_by_test_id("virtualized-list")
        expect(lines).to_contain_text("INFO")
        return lines.inner_text()

    def result(self) -> str:
        """What the open task returned, as the page shows it."""
        self._tab("Storage")
        self._tab("XCom")
        row = self._page.get_by_role("row").filter(has_text="return_value")
        expect(row).to_be_visible()
        self._page.get_by_test_id("expand-all-button").click()
        expect(row).to_contain_text("run_id")
        return row.inner_text().replace("\xa0", " ")

    def links(self) -> dict[str, str]:
        """The links of the open task, by name."""
        self._tab("Details")
        outside = self._page.locator("a[href^=http]")
        expect(outside.first).to_be_visible()
        return {link.inner_text(): link.get_attribute("href") or "" for link in outside.all()}

    def _tab(self, name: str) -> None:
        self._page.get_by_role("link", name=name, exact=True).or_(
            self._page.get_by_role("tab", name=name, exact=True)
        ).first.click()
