"use strict";
// What all pages share: `page.data`, sortable tables, and charts that are drawn again when their width changes.
const page = {
  data: JSON.parse(document.getElementById("page-data").textContent),
  charts: new Map(),

  // The colour of series number i, as a CSS variable: it follows the light and the dark style.
  color: (i) => `var(--c${i % 7})`,

  // A name that fits beside a line.
  brief: (name, longest = 26) => (name.length > longest ? `${name.slice(0, longest - 1)}…` : name),

  // Draws `draw(width)`, a DOM node, into the figure made by the macro `chart`.
  chart(id, draw) {
    const place = document.querySelector(`#${CSS.escape(id)} .plot`);
    if (!place) return;
    const label = place.closest("figure").getAttribute("aria-label");
    const redraw = (width = place.clientWidth) => {
      const drawn = draw(Math.max(260, Math.floor(width)));
      // A chart is one picture with a name; Plot names its parts, such as "bar", which is of no use to who cannot see it.
      for (const svg of drawn.matches("svg") ? [drawn] : drawn.querySelectorAll("svg")) {
        svg.setAttribute("role", "img");
        svg.setAttribute("aria-label", label);
        for (const part of svg.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
      }
      place.replaceChildren(drawn);
    };
    page.charts.set(id, redraw);
    let width = 0;
    new ResizeObserver(() => {
      if (place.clientWidth !== width) { width = place.clientWidth; requestAnimationFrame(() => redraw()); }
    }).observe(place);
  },

  redraw: (id) => page.charts.get(id)?.(),
};

// On paper nothing can be unfolded, and a chart has the width of a sheet of A4 or Letter, or half of it.
const SHEET = 680;
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
  for (const [id, redraw] of page.charts) redraw(document.getElementById(id).closest(".charts") ? SHEET / 2 - 10 : SHEET);
});
addEventListener("afterprint", () => { for (const redraw of page.charts.values()) redraw(); });

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const descending = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    // Empty cells stay at the end in both directions.
    const compare = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = isNaN(a) || isNaN(b) ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
      return descending ? -order : order;
    };
    body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
  }));
}
