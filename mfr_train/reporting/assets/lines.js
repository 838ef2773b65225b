"use strict";
// Learning curves, hit rates by rank, and figures with their intervals.
{
  // Labels at the right ends of lines, moved apart.
  const ends = (lines, domain, height) => {
    const step = 14 * (domain[1] - domain[0]) / height;
    const found = lines.map((line) => ({ line, x: line.points.at(-1)[0], y: line.points.at(-1)[1] })).sort((a, b) => a.y - b.y);
    if (found.length) found.at(-1).y = Math.min(found.at(-1).y, domain[1]);
    for (let i = found.length - 2; i >= 0; i -= 1) found[i].y = Math.min(found[i].y, found[i + 1].y - step);
    found.forEach((each, i) => { each.y = Math.max(each.y, i ? found[i - 1].y + step : domain[0]); });
    return found;
  };

  const chart = (panel, xLabel, yLabel, banded) => page.chart(panel.id, (width) => {
    const names = panel.lines.map((line) => page.brief(line.name, width < 500 ? 14 : 24));
    const right = 12 + 7 * Math.max(...names.map((name) => name.length));
    const height = Math.round(Math.min(0.62 * width, 320));
    const values = panel.lines.flatMap((line) => line.points.flatMap((point) => point.slice(1)));
    const least = Math.min(...values, ...(banded ? [90] : [])), most = Math.max(...values), room = (most - least || 1) / 20;
    const domain = [least - room, most + room];
    return Plot.plot({
      width, height, marginLeft: 48, marginRight: right, marginTop: 26, marginBottom: 40,
      x: { label: xLabel, labelAnchor: "center", labelArrow: "none", ticks: Math.max(3, Math.floor(width / 110)) },
      y: { domain, label: yLabel, labelArrow: "none", grid: true, ticks: 5 },
      marks: [
        ...panel.lines.flatMap((line) => [
          ...(banded ? [Plot.areaY(line.points, { x: "0", y1: "2", y2: "3", fill: page.color(line.color), fillOpacity: 0.13 })] : []),
          Plot.line(line.points, { x: "0", y: "1", stroke: page.color(line.color), strokeWidth: 2 }),
          ...(line.points.length < 30 ? [Plot.dot(line.points, { x: "0", y: "1", fill: page.color(line.color), r: 2.5 })] : []),
        ]),
        Plot.text(ends(panel.lines, domain, height - 66), {
          x: "x", y: "y", dx: 7, textAnchor: "start", fontWeight: 600, fill: (each) => page.color(each.line.color),
          text: (each) => page.brief(each.line.name, width < 500 ? 14 : 24),
        }),
        Plot.tip(panel.lines.flatMap((line) => line.points.map((point) => ({ point, line }))), Plot.pointer({
          x: (each) => each.point[0], y: (each) => each.point[1],
          title: (each) => `${each.line.name}\n${xLabel} ${each.point[0]}\n${yLabel} ${+each.point[1].toPrecision(4)}`,
        })),
      ],
    });
  });

  for (const panel of page.data.learning) chart(panel, "step", panel.label, false);
  for (const panel of page.data.cmc) chart(panel, "rank", "hit rate (%)", true);

  for (const panel of page.data.intervals) {
    page.chart(`plot-${panel.id}`, (width) => {
      const names = [...new Set(panel.points.map((point) => point.name))], scenarios = [...new Set(panel.points.map((point) => point.scenario))];
      const left = Math.min(16 + 7 * Math.max(...names.map((name) => name.length)), width / 2.5);
      const runs = panel.points.flatMap((point) => point.runs.map((value) => ({ ...point, value })));
      return Plot.plot({
        width: Math.min(width, 760), height: 50 + scenarios.length * (26 * names.length + 14), marginLeft: left, marginRight: 44, marginBottom: 40,
        x: { label: panel.label, labelAnchor: "center", labelArrow: "none", grid: true, nice: true, ticks: Math.max(3, Math.floor(width / 110)) },
        y: { domain: names, label: null, padding: 0.3, tickSize: 0 },
        fy: { domain: scenarios, label: null },
        marks: [
          Plot.ruleY(panel.points, { fy: "scenario", y: "name", x1: "low", x2: "high", stroke: "var(--c0)", strokeWidth: 2 }),
          Plot.tickX(runs, { fy: "scenario", y: "name", x: "value", stroke: "var(--c1)", strokeWidth: 2 }),
          Plot.dot(panel.points, { fy: "scenario", y: "name", x: "value", fill: "var(--c0)", r: 4.5 }),
        ],
      });
    });
  }
}
