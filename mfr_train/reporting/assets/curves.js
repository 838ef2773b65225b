"use strict";
// ROC and DET curves, and the drift at a fixed threshold.
{
  const FMR = { label: "false match rate, FMR (%)", labelAnchor: "center", labelArrow: "none" };
  const CUT = 0.3;
  const percent = (rate) => `${+(100 * rate).toPrecision(3)}`;
  const zip = (line, ...names) => line[names[0]].map((_, i) => names.map((name) => line[name][i]));

  // Labels at the left ends of lines, that of the topmost line above it, the others below theirs, and moved apart so
  // that no two are on each other. `at` gives the value of a line.
  const labelled = (lines, at, domain, height) => {
    const step = 15 * (domain[1] - domain[0]) / height;
    const found = lines.map((line) => ({ line, y: at(line) })).sort((a, b) => a.y - b.y);
    found.forEach((each, i) => { each.y += i === found.length - 1 ? step * 0.75 : -step * 0.75; });
    const least = domain[0] + step / 2, most = domain[1] - step / 2;
    found.forEach((each, i) => { each.y = Math.max(each.y, i ? found[i - 1].y + step : least); });
    for (let i = found.length - 1; i >= 0; i -= 1) {
      found[i].y = Math.min(found[i].y, i === found.length - 1 ? most : found[i + 1].y - step);
    }
    return found;
  };
  const labels = (found, x) => Plot.text(found, {
    x, y: "y", text: (each) => page.brief(each.line.name), fill: (each) => page.color(each.line.color),
    textAnchor: "start", dx: 6, fontWeight: 600, stroke: "var(--paper)", strokeWidth: 4,
  });
  const told = (line, fmr, fnmr) => `${line.name}\nFMR ${percent(fmr)} %\nFNMR ${percent(fnmr)} %`;

  const ticksIn = (domain, width) => {
    const inside = page.data.ticks.filter(([at]) => at >= domain[0] - 1e-9 && at <= domain[1] + 1e-9);
    const kept = [];
    for (const tick of inside) {
      if (!kept.length || (tick[0] - kept[kept.length - 1][0]) / (domain[1] - domain[0]) * width > 34) kept.push(tick);
    }
    return kept;
  };
  // The rate 0 has no normal deviate: `zero` is where it stands on each axis, or null. A dashed line cuts it off.
  const deviateAxes = (x, y, width, height, zero = [null, null]) => {
    const names = new Map(page.data.ticks);
    const places = (domain, size, at) => {
      const found = ticksIn(domain, size).map(([tick]) => tick);
      return at === null ? found : [at, ...found.filter((tick) => tick > at + CUT)];
    };
    const across = places(x, width, zero[0]), up = places(y, height, zero[1]);
    const tickFormat = (at) => names.get(at) ?? "0";
    const cuts = zero.map((at) => (at === null ? [] : [at + CUT / 2]));
    const dashed = { stroke: "var(--quiet)", strokeDasharray: "3 4" };
    return {
      scales: { x: { domain: x }, y: { domain: y } },
      marks: [
        Plot.gridX(across), Plot.gridY(up), Plot.ruleX(cuts[0], dashed), Plot.ruleY(cuts[1], dashed),
        Plot.axisX(across, { tickFormat, ...FMR }),
        Plot.axisY(up, { tickFormat, label: "false non-match rate, FNMR (%)", labelArrow: "none" }),
      ],
    };
  };

  const sizes = (width) => ({
    width, height: Math.round(Math.min(width * 0.8, 440)), marginLeft: 48, marginRight: 14, marginTop: 26, marginBottom: 42,
  });

  const det = (panel) => (width) => {
    const size = sizes(width), [left, right, bottom, top] = panel.det, inner = size.height - 68;
    const axes = deviateAxes([left, right], [bottom, top], width - 62, inner);
    const marks = [...axes.marks, Plot.line([[Math.max(left, bottom), Math.max(left, bottom)], [Math.min(right, top), Math.min(right, top)]], { stroke: "var(--quiet)", strokeDasharray: "2 3" })];
    for (const line of panel.lines) {
      const color = page.color(line.color);
      if (line.ylow) marks.push(Plot.areaY(zip(line, "x", "ylow", "yhigh"), { x: "0", y1: "1", y2: "2", curve: "step-after", fill: color, fillOpacity: 0.13, clip: true }));
    }
    for (const line of panel.lines) {
      const color = page.color(line.color), points = zip(line, "x", "y", "fmr", "fnmr").filter((point) => point[0] <= line.zero);
      marks.push(
        Plot.line(points, { x: "0", y: "1", curve: "step-after", stroke: color, strokeWidth: 2, clip: true }),
        Plot.dot(line.marks.filter((mark) => mark.x <= right && mark.fnmr > 0), { x: "x", y: "y", fill: color, r: 3.5 }),
      );
      if (line.ends) marks.push(Plot.dot([line], { x: "zero", y: "zero_y", symbol: "triangle2", fill: "var(--paper)", stroke: color, strokeWidth: 2 }));
    }
    const every = panel.lines.flatMap((line) => zip(line, "x", "y", "fmr", "fnmr").filter((point) => point[0] <= right && point[1] <= top).map((point) => ({ point, line })));
    marks.push(
      Plot.tip(every, Plot.pointer({ x: (each) => each.point[0], y: (each) => each.point[1], title: (each) => told(each.line, each.point[2], each.point[3]) })),
      labels(labelled(panel.lines, (line) => Math.min(line.y[0], top), [bottom, top], inner), (each) => each.line.x[0]),
    );
    return Plot.plot({ ...size, ...axes.scales, marks });
  };

  const roc = (panel) => (width) => {
    const size = sizes(width), inner = size.height - 68;
    const lowest = Math.min(...panel.lines.map((line) => 1 - line.fnmr[0]));
    const bottom = Math.max(0, Math.floor(10 * lowest - 0.2) / 10), domain = [100 * bottom, 100 + (100 - 100 * bottom) / 50];
    const powers = d3.range(Math.ceil(Math.log10(100 * panel.left) - 1e-9), 3).map((power) => 10 ** power);
    const marks = [Plot.gridY(), Plot.gridX(powers), Plot.axisX(powers, { tickFormat: (value) => `${+value.toPrecision(3)}`, ...FMR }), Plot.axisY({ label: "true match rate, 1 − FNMR (%)", labelArrow: "none" })];
    const match = (rates) => rates.map((rate) => 100 * (1 - rate));
    for (const line of panel.lines) {
      if (!line.low) continue;
      const low = match(line.high), high = match(line.low);
      marks.push(Plot.areaY(line.fmr, { x: line.fmr.map((rate) => 100 * rate), y1: low, y2: high, curve: "step-after", fill: page.color(line.color), fillOpacity: 0.13, clip: true }));
    }
    for (const line of panel.lines) {
      const color = page.color(line.color);
      marks.push(
        Plot.line([...line.fmr, 1], { x: (rate) => 100 * rate, y: [...match(line.fnmr), 100], curve: "step-after", stroke: color, strokeWidth: 2, clip: true }),
        Plot.dot(line.marks, { x: (mark) => 100 * mark.fmr, y: (mark) => 100 * (1 - mark.fnmr), fill: color, r: 3.5 }),
      );
    }
    const every = panel.lines.flatMap((line) => line.fmr.map((fmr, i) => ({ fmr, fnmr: line.fnmr[i], line })));
    marks.push(
      Plot.tip(every, Plot.pointer({ x: (each) => 100 * each.fmr, y: (each) => 100 * (1 - each.fnmr), title: (each) => told(each.line, each.fmr, each.fnmr) })),
      labels(labelled(panel.lines, (line) => 100 * (1 - line.fnmr[0]), domain, inner), (each) => 100 * each.line.fmr[0]),
    );
    return Plot.plot({
      ...size, marks,
      x: { type: "log", domain: [100 * panel.left, 100] },
      y: { domain },
    });
  };

  for (const panel of page.data.curves) {
    page.chart(`det-${panel.id}`, det(panel));
    page.chart(`roc-${panel.id}`, roc(panel));
  }

  for (const panel of page.data.drift) {
    page.chart(panel.id, (width) => {
      const size = sizes(width), [x0, x1, y0, y1] = panel.domain;
      const axes = deviateAxes([x0, x1], [y0, y1], width - 62, size.height - 68, panel.zero);
      const links = panel.paths.flatMap((path) => path.points.slice(1).map((point, i) => ({ from: path.points[i], to: point })));
      const points = panel.paths.flatMap((path) => path.points.map((point) => ({ ...point, limit: path.limit })));
      const ends = panel.paths.map((path) => ({ ...path.points[0], limit: path.limit }));
      const symbol = { domain: panel.scenarios, range: ["circle", "triangle", "square"].slice(0, panel.scenarios.length) };
      return Plot.plot({
        ...size, ...axes.scales, symbol,
        marks: [
          ...axes.marks,
          Plot.arrow(links, { x1: (link) => link.from.x, y1: (link) => link.from.y, x2: (link) => link.to.x, y2: (link) => link.to.y, stroke: "var(--quiet)", inset: 7, headLength: 7 }),
          Plot.dot(points, { x: "x", y: "y", symbol: "scenario", r: 5, fill: (point) => page.color(["U-U", "U-M", "M-M"].indexOf(point.scenario)), stroke: "var(--paper)" }),
          Plot.text(points.filter((point) => point.scenario !== "U-U"), { x: "x", y: "y", text: "scenario", dx: 10, textAnchor: "start", fill: (point) => page.color(["U-U", "U-M", "M-M"].indexOf(point.scenario)), fontWeight: 600, stroke: "var(--paper)", strokeWidth: 4 }),
          Plot.text(ends, { x: "x", y: "y", text: (point) => (width < 420 ? `${point.scenario}, ${point.limit}` : `${point.scenario}, fixed at FMR ${point.limit}`), dy: 15, dx: -5, textAnchor: "start", fill: "var(--quiet)", stroke: "var(--paper)", strokeWidth: 4 }),
          Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: (point) => `${point.scenario} at the threshold of U-U FMR ${point.limit}\nFMR ${percent(point.fmr)} %\nFNMR ${percent(point.fnmr)} %` })),
        ],
      });
    });
  }
}
