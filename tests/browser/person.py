"""A person at Prefect's UI: what they click, what they fill in, and what they see. All by what stands on the screen.

Nothing here asks Prefect's API. Everything that isn't on the Prefect server itself is out of reach for the browser, as it
is on an air-gapped site.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import Locator, Page, Route, ViewportSize, async_playwright, expect
from playwright.async_api import TimeoutError as NotSeen

from tests.programs import find_browser
from tests.resuming.stack import SLOWNESS

CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    # The graph of a run is drawn by WebGL, which the processor has to do here.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE: ViewportSize = {"width": 1280, "height": 900}
PATIENCE_SECONDS = 120.0
"""How long a person looks at a page until what they wait for is on it."""
TRIES = 3
SCREENSHOTS = Path(__file__).parents[2] / "docs" / "screenshots"
LARGEST_BYTES = 200_000
RUN = re.compile(r"/runs/flow-run/([0-9a-f-]{36})")


class Person:
    """Somebody at a browser."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    async def opens_the_form_of(self, deployment: str) -> None:
        """Go from the first page to a deployment's custom run."""
        await self.page.goto(self.url, wait_until="commit")
        await self.page.get_by_role("link", name="Deployments", exact=True).click()
        await self.page.get_by_role("link", name=deployment, exact=True).first.click()
        await self.page.get_by_role("button", name="Run", exact=True).click()
        await self.page.get_by_role("menuitem", name="Custom run").click()
        await expect(self.page.get_by_text("Enforce Parameter Schema")).to_be_visible(timeout=PATIENCE_SECONDS * 1000)

    async def opens_the_run(self, run: str) -> None:
        """Open the page of a run. Links in messages lack the `/v2` (3.8.8) and lead to the former UI's page of it."""
        await self.page.goto(f"{self.url}/v2/runs/flow-run/{run}", wait_until="commit")
        await expect(self.page.get_by_role("tab", name="Artifacts")).to_be_visible(timeout=PATIENCE_SECONDS * 1000)

    async def fills_in(self, title: str, text: str) -> None:
        """Enter a text, or a number, into the field of this title."""
        await self._after_label(title, "self::textarea or self::input").fill(text)

    async def chooses(self, title: str, choice: str) -> None:
        """Choose one of the values that the field of this title offers."""
        await self._after_label(title, "self::button[@aria-haspopup='listbox']").click()
        await self.page.get_by_role("option", name=choice, exact=True).click()

    async def switches(self, title: str) -> None:
        """Turn the switch of this title on or off."""
        await self._after_label(title, "self::button[@role='switch']").click()

    async def adds_an_item_to(self, title: str) -> None:
        """Add an item to the list of this title."""
        await self._after_label(title, "self::button[normalize-space()='Add item']").click()

    async def clicks(self, name: str) -> None:
        """Press the button of this name."""
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def plans_the_start(self, at: datetime) -> None:
        """Choose that the run starts later, and when: in this month or the next, at a multiple of five minutes."""
        await self.page.get_by_text("Later", exact=True).click()
        await self.page.get_by_label("Start date").click()
        calendar = self.page.get_by_role("dialog")
        if at.month != datetime.now(UTC).month:
            await calendar.get_by_role("button", name="Go to the Next Month").click()
        day = re.compile(rf"{at:%B} {at.day}(st|nd|rd|th), {at:%Y}")
        # The hours stand before the minutes.
        for choice in (day, f"{at:%I}".lstrip("0"), str(at.minute), f"{at:%p}"):
            await calendar.get_by_role("button", name=choice, exact=True).first.click()
        await self.page.keyboard.press("Escape")

    async def submits(self) -> str:
        """Submit the form, open the run that comes of it, and return its id."""
        view = self.page.get_by_role("button", name="View run")
        for _ in range(TRIES):
            await self.clicks("Submit")
            try:
                await view.click(timeout=PATIENCE_SECONDS / TRIES * 1000)
            except NotSeen:
                # With SQLite under load, Prefect 3.8.8 answers 503, and the form stays as it is.
                await expect(self.page.get_by_role("button", name="Submit")).to_be_enabled()
            else:
                break
        await self.page.wait_for_url(RUN)
        found = RUN.search(self.page.url)
        assert found is not None
        return found.group(1)

    async def answers(self, name: str) -> None:
        """Press the button of this name in the dialog that is open; once more if it stays as it is, as `submits` does."""
        dialog = self.page.get_by_role("dialog")
        button = dialog.get_by_role("button", name=name, exact=True)
        for _ in range(TRIES - 1):
            await button.click()
            with suppress(AssertionError):
                await expect(dialog).to_be_hidden(timeout=PATIENCE_SECONDS / TRIES * 1000)
                return
        await button.click()
        await expect(dialog).to_be_hidden()

    async def wants(self, action: str) -> None:
        """Choose an action from the menu of the run whose page is open."""
        menu = self.page.locator("button[aria-haspopup='menu']").first
        await menu.click()
        await self.page.get_by_role("menuitem", name=action, exact=True).click()

    async def confirms(self, name: str) -> None:
        """Press the button of this name in the question that the UI asks back."""
        await self.page.get_by_role("alertdialog").get_by_role("button", name=name, exact=True).click()

    async def looks_at(self, tab: str) -> None:
        """Open a tab of the page."""
        await self.page.get_by_role("tab", name=tab, exact=True).click()

    async def sees(self, text: str | re.Pattern[str], *, seconds: float = PATIENCE_SECONDS) -> None:
        """Return once this text is on the screen."""
        await expect(self.page.get_by_text(text).first).to_be_visible(timeout=seconds * 1000)

    async def sees_state(self, state: str, *, seconds: float = 60) -> None:
        """Return once the page of a run says that this is its state; it tells by itself."""
        badge = self.page.locator("span,div").filter(has_text=re.compile(f"^{state}$"))
        await expect(badge.first).to_be_visible(timeout=seconds * SLOWNESS * 1000)

    async def keeps(self, name: str, *, at: Locator | None = None) -> None:
        """Keep what is on the screen as a picture for docs/ui.md, if SCREENSHOTS=1 asks for it."""
        if os.environ.get("SCREENSHOTS") != "1":
            return
        if at is not None:
            await at.scroll_into_view_if_needed()
        await self.page.mouse.move(0, 0)
        await self.page.wait_for_timeout(1500)  # until what moves on the page has come to rest
        SCREENSHOTS.mkdir(exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        await self.page.screenshot(path=path)
        assert path.stat().st_size <= LARGEST_BYTES, f"{path} is too large for a repository"

    def label(self, title: str) -> Locator:
        """Return the label of a field; the UI adds to the title that it is optional."""
        return self.page.locator("label").filter(has_text=re.compile(rf"^{re.escape(title)}( \(Optional\))?$"))

    def _after_label(self, title: str, what: str) -> Locator:
        return self.label(title).locator(f"xpath=following::*[{what}][1]")


@asynccontextmanager
async def person_at(url: str) -> AsyncIterator[Person]:
    """Have somebody sit down at a new browser; they leave when the block ends."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser(), args=list(CHROMIUM))
        context = await browser.new_context(viewport=SIZE, locale="en-GB", timezone_id="UTC")
        context.set_default_timeout(PATIENCE_SECONDS * 1000)

        async def only_the_server(route: Route) -> None:
            await (route.continue_() if route.request.url.startswith(url) else route.abort())

        await context.route("**/*", only_the_server)
        yield Person(await context.new_page(), url)
        await browser.close()
