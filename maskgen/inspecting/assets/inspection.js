"use strict";
// The charts of a data set's page: histograms, and the share of the face that each mask covers.
for (const [id, { x, y, bars }] of Object.entries(page.data.histograms)) {
  page.chart(id, (width) => Plot.plot({
    width, height: 220, marginLeft: 56, marginBottom: 38,
    x: { label: x, ticks: Math.max(3, Math.floor(width / 90)) },
    y: { label: y, grid: true, ticks: 4 },
    marks: [
      Plot.rectY(bars, { x1: "0", x2: "1", y: "2", insetLeft: 0.5, insetRight: 0.5, fill: page.color(0) }),
      Plot.ruleY([0]),
    ],
  }));
}

const shares = Object.entries(page.data.covered).flatMap(([mask, values]) => values.map((share) => ({ mask, share })));
page.chart("covered", (width) => Plot.plot({
  width, height: 70 + 34 * Object.keys(page.data.covered).length, marginLeft: 104, marginBottom: 38,
  x: { label: "% of the face", grid: true, zero: true, ticks: Math.max(3, Math.floor(width / 90)) },
  y: { label: null },
  marks: [Plot.boxX(shares, { x: "share", y: "mask", fill: page.color(0), fillOpacity: 0.35, r: 1.5 })],
}));
