"""What makes a page hard to read, asked of the page itself in a browser. Every list is empty where all is well."""

import os
from pathlib import Path

import pytest

AXE = Path(os.environ.get("AXE_CORE") or Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js")

LOOKS = [(390, "dark"), (1280, "light"), (1280, "dark")]
"""Width and scheme of colours: a phone, and a desk by day and by night."""

BROKEN_WORDS = """() => {
  const broken = [], walker = node => document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  for (const cell of document.querySelectorAll("td, th")) {
    for (const texts = walker(cell); texts.nextNode();) {
      for (const word of texts.currentNode.data.matchAll(/[^\\s-]+/g)) {
        const range = document.createRange();
        range.setStart(texts.currentNode, word.index);
        range.setEnd(texts.currentNode, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) broken.push(word[0]);
      }
    }
  }
  return broken;
}"""

TALL_CELLS = """most => [...document.querySelectorAll("td, th")].filter(cell => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  const pictures = cell.querySelector("img, .failed, svg");
  return !pictures && new Set([...range.getClientRects()].map(box => Math.round(box.top / 8))).size > most;
}).map(cell => cell.textContent)"""

WRONG_LABELS = """() => {
  const wrong = [];
  for (const drawing of document.querySelectorAll("svg")) {
    const all = [...drawing.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
    const texts = all.filter(([, box]) => box.width);
    const scrolled = drawing.closest(".wide"), outer = (scrolled ?? drawing.closest("section")).getBoundingClientRect();
    const right = scrolled ? outer.left - scrolled.scrollLeft + scrolled.scrollWidth : Math.min(outer.right, innerWidth);
    for (const [text, box] of texts) {
      if (box.left < outer.left - 1 || box.right > right + 1) wrong.push(`cut: ${text}`);
      if (box.height < 10) wrong.push(`small: ${text}`);
      for (const [other, its] of texts) {
        const across = its.left < box.right - 1 && its.right > box.left + 1, down = its.top < box.bottom - 3 && its.bottom > box.top + 3;
        if (its !== box && across && down) wrong.push(`${text} on ${other}`);
      }
    }
  }
  return wrong;
}"""


def hard_to_read(page, *, most_lines: int = 4) -> list[str]:
    """Broken words and towers of text in tables; labels of drawings that are cut, tiny or on each other; a page wider than the screen."""
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    found = [f"broken: {word}" for word in page.evaluate(BROKEN_WORDS)]
    found += [f"tall: {text}" for text in page.evaluate(TALL_CELLS, most_lines)]
    found += page.evaluate(WRONG_LABELS)
    return found + ["wider than the screen"] * page.evaluate("document.documentElement.scrollWidth > innerWidth")


def axe_findings(page) -> list[str]:
    """What axe calls serious or critical, with everything unfolded. Skips where axe-core is not installed."""
    if not AXE.is_file():
        pytest.skip(f"axe-core is not at {AXE}; scripts/axe puts it there")
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{one['id']}: {node['target']}" for one in found if one["impact"] in ("serious", "critical") for node in one["nodes"]]
