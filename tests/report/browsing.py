"""What a browser's tests look for in every page."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.conftest import CHECKOUT

AXE = CHECKOUT / "node_modules" / "axe-core" / "axe.min.js"
"""Installed by ``npm install axe-core``; without it accessibility is not checked."""


def serious(page: Page) -> list[str]:
    """Return which rules of axe-core a page breaks badly."""
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run().then(result => result.violations)")
    return [one["id"] for one in found if one["impact"] in {"serious", "critical"}]


def cut_on_paper(page: Page) -> list[str]:
    """Return what of a page, as A4 paper shows it, runs off to the right."""
    page.set_viewport_size({"width": 718, "height": 1000})
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    found: list[str] = page.evaluate(_CUT)
    return found


_CUT = """() => [...document.querySelectorAll("main *:not(svg *)")]
  .filter((part) => part.getBoundingClientRect().right > innerWidth + 1)
  .map((part) => `${part.tagName} ${part.textContent.slice(0, 40)}`)"""
