"use strict";
// Histograms of scores under a threshold that can be moved, and the choice of a heat map.
{
  const rate = (count, all) => (100 * count / all).toFixed(2);
  for (const slider of page.data.scores) {
    const block = document.getElementById(slider.id);
    const input = block.querySelector("input"), output = block.querySelector("output"), select = block.querySelector("select");
    const caption = block.querySelector("caption .threshold");
    const rows = [...block.querySelectorAll("tbody tr")];
    const first = slider.named.length ? slider.named[0][1] : Math.floor(slider.stops.length / 2);
    const text = (stop) => stop.toFixed(4);
    let place = first;

    const bars = slider.scenarios.flatMap((scenario) => ["genuine", "impostor"].flatMap((kind, k) => {
      const all = scenario[kind];
      return scenario.bars[k].map((count, i) => ({
        scenario: scenario.name, kind, from: scenario.edges[i], to: scenario.edges[i + 1], share: 100 * count / all,
      })).filter((bar) => bar.share > 0);
    }));
    const low = Math.min(...bars.map((bar) => bar.from)), high = Math.max(...bars.map((bar) => bar.to));
    const tallest = Math.max(...bars.map((bar) => bar.share));
    const ends = slider.scenarios.map((scenario) => {
      const at = (kind) => bars.filter((bar) => bar.scenario === scenario.name && bar.kind === kind)
        .reduce((best, bar) => (bar.share > best.share ? bar : best));
      return { scenario: scenario.name, genuine: at("genuine"), impostor: at("impostor") };
    });

    const parts = (stop) => bars.flatMap((bar) => {
      const wrong = (score) => (bar.kind === "genuine" ? score < stop : score >= stop);
      if (stop <= bar.from || stop >= bar.to) return [{ ...bar, wrong: wrong((bar.from + bar.to) / 2) }];
      return [{ ...bar, to: stop, wrong: wrong(bar.from) }, { ...bar, from: stop, wrong: wrong(stop) }];
    });

    page.chart(`plot-${slider.id}`, (width) => {
      const stop = slider.stops[place];
      return Plot.plot({
        width, height: 40 + 120 * slider.scenarios.length, marginLeft: 48, marginRight: 44, marginTop: 26, marginBottom: 38,
        x: { domain: [low, high], label: "score", labelAnchor: "center", labelArrow: "none", ticks: Math.max(4, Math.floor(width / 90)) },
        y: { domain: [0, tallest * 1.18], label: "share of the pairs (%)", labelArrow: "none", ticks: 3, grid: true },
        fy: { label: null, domain: slider.scenarios.map((scenario) => scenario.name) },
        marks: [
          Plot.rect(parts(stop), {
            fy: "scenario", x1: "from", x2: "to", y1: 0, y2: "share", insetLeft: 0.25, insetRight: 0.25,
            fill: (bar) => `var(--${bar.kind})`, fillOpacity: (bar) => (bar.wrong ? 0.95 : 0.3),
          }),
          Plot.ruleY([0]),
          Plot.ruleX([Math.min(Math.max(stop, low), high)], { stroke: "var(--ink)", strokeWidth: 1.5 }),
          ...["genuine", "impostor"].map((kind) => Plot.text(ends, {
            fy: "scenario", x: (each) => (each[kind].from + each[kind].to) / 2, y: (each) => each[kind].share, dy: -8,
            text: () => kind, fill: `var(--${kind}-ink)`, fontWeight: 600, stroke: "var(--paper)", strokeWidth: 4,
          })),
        ],
      });
    });

    const show = () => {
      const stop = slider.stops[place];
      input.value = place;
      input.setAttribute("aria-valuetext", text(stop));
      output.textContent = text(stop);
      const named = slider.named.find(([, at]) => at === place);
      caption.textContent = named ? `${text(stop)} (${named[0]})` : text(stop);
      slider.scenarios.forEach((scenario, i) => {
        const [, fmr, matches, fnmr, misses] = rows[i].cells, accepted = scenario.accepted[place], rejected = scenario.rejected[place];
        fmr.textContent = rate(accepted, scenario.impostor);
        fmr.dataset.value = accepted / scenario.impostor;
        matches.textContent = `${accepted.toLocaleString("en")} of ${scenario.impostor.toLocaleString("en")}`;
        fnmr.textContent = rate(rejected, scenario.genuine);
        fnmr.dataset.value = rejected / scenario.genuine;
        misses.textContent = `${rejected.toLocaleString("en")} of ${scenario.genuine.toLocaleString("en")}`;
      });
      page.redraw(`plot-${slider.id}`);
    };
    input.addEventListener("input", () => { place = Number(input.value); if (select) select.value = ""; show(); });
    select?.addEventListener("change", () => { if (select.value !== "") { place = Number(select.value); show(); } });
    if (select) select.value = String(first);
    show();
  }

  const choice = document.getElementById("heat-figure");
  choice?.addEventListener("change", () => {
    for (const map of document.querySelectorAll(".heat-map")) map.hidden = map.id !== `heat-${choice.value}`;
  });
}
