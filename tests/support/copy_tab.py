"""The tab "Copy" of a run, as a person sees it in Airflow's UI."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from browser import RUN_TIMEOUT_MS
from demo.airflow_api import Run


class CopyTab:
    """The tab of one run. It is opened once, and never loaded again."""

    def __init__(self, page: Page, run: Run) -> None:
        self._page = page
        page.goto(f"/dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}")
        page.get_by_role("link", name="Copy", exact=True).click()
        self.frame = page.frame_locator("iframe[title=Copy]")
        expect(self.sentence).to_be_visible()
        # What a new document would not have.
        self.frame.locator("html").evaluate("root => { root.dataset.opened = 'once' }")

    @property
    def sentence(self) -> Locator:
        """How the run is, or how it ended."""
        return self.frame.locator(".verdict .sentence")

    def is_as_opened(self) -> bool:
        """Whether it is still the document that was opened."""
        return self.frame.locator("html").get_attribute("data-opened") == "once"

    def section(self, name: str) -> Locator:
        """A section of the page by its id."""
        return self.frame.locator(f"#{name}")

    def figure(self, name: str) -> Locator:
        """A figure of the progress, such as `Objects done`."""
        return self.section("progress").locator(f"dt:text-is('{name}') + dd")

    def wait_for(self, sentence: str) -> None:
        """Watch the page until its sentence contains this."""
        expect(self.sentence).to_contain_text(sentence, timeout=RUN_TIMEOUT_MS)

    def start(self, action: str) -> Run:
        """Press the button of an action, confirm, and follow the link to the tab of the new run."""
        self.frame.get_by_role("button", name=action, exact=True).click()
        dialog = self.frame.get_by_role("dialog", name=f"{action}?")
        dialog.get_by_role("button", name="Start the run").click()
        link = dialog.get_by_role("link", name="Open the new run")
        run_id = link.inner_text().removeprefix("Open the new run ")
        link.click()
        self._page.wait_for_url("**/plugin/copy")
        expect(self.sentence).to_be_visible()
        self.frame.locator("html").evaluate("root => { root.dataset.opened = 'once' }")
        dag_id = self._page.url.partition("/dags/")[2].partition("/")[0]
        return Run(dag_id, run_id)

    def download(self, name: str) -> str:
        """The text of a file of the downloads."""
        with self._page.expect_download() as started:
            self.section("downloads").get_by_role("link", name=name).click()
        return Path(started.value.path()).read_text()

    def picture(self, file: Path) -> None:
        """What a person sees now."""
        self.frame.locator("html").evaluate("() => window.scrollTo(0, 0)")
        self._page.wait_for_timeout(500)  # until the bar has grown
        self._page.screenshot(path=file)
