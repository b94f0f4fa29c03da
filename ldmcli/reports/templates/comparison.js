"use strict";
// Sorting: a header's button sorts by what its cells carry in data-v; empty cells stay at the end.
const table = document.getElementById("results"), body = table.tBodies[0];
for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
  head.firstElementChild.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.v;
    const order = (a, b) => {
      if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
      return sign * (head.classList.contains("n") ? key(a) - key(b) : key(a).localeCompare(key(b)));
    };
    body.append(...[...body.rows].sort(order));
  });
}

// One prompt at a time. Without this script all of them are on the page.
const blocks = [...document.querySelectorAll(".block")], tabs = [...document.querySelectorAll(".tabs button")];
function choose(wanted) {
  blocks.forEach((block, number) => { block.hidden = number !== wanted; });
  tabs.forEach((tab, number) => tab.setAttribute("aria-pressed", String(number === wanted)));
}
tabs.forEach((tab, number) => tab.addEventListener("click", () => choose(number)));
choose(0);

// The picture under the pointer, large, beside the reference of the same prompt.
const lens = document.getElementById("lens"), [mine, theirs] = lens.querySelectorAll("figure");
function show(picture, x, y) {
  mine.hidden = picture.classList.contains("truth");
  mine.querySelector("img").src = picture.src;
  mine.querySelector("b").textContent = picture.alt;
  mine.querySelector("small").textContent = picture.dataset.facts || "";
  theirs.querySelector("img").src = picture.closest(".block").querySelector(".truth").src;
  lens.hidden = false;
  if (innerWidth <= 760) return;
  const box = lens.getBoundingClientRect();
  lens.style.left = Math.max(8, x + 20 + box.width > innerWidth ? x - 20 - box.width : x + 20) + "px";
  lens.style.top = Math.max(8, Math.min(y - box.height / 2, innerHeight - box.height - 8)) + "px";
}
for (const picture of document.querySelectorAll(".pictures img")) {
  picture.addEventListener("pointermove", event => show(picture, event.clientX, event.clientY));
  picture.addEventListener("focus", () => { const box = picture.getBoundingClientRect(); show(picture, box.right, box.top); });
  for (const gone of ["pointerleave", "blur"]) picture.addEventListener(gone, () => { lens.hidden = true; });
}
