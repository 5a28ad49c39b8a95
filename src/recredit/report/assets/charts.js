// Draws the charts from the page's data, and redraws them when its controls, its theme or a running command ask for it.
let data = JSON.parse(document.getElementById("data").textContent);
const controls = document.getElementById("controls"), off = new Set([...controls.querySelectorAll('[name="rule"]:not(:checked)')].map((box) => box.value));
const views = new Map();
const checked = (name) => controls.querySelector(`[name="${name}"]`)?.checked ?? false;
const valueOf = (name) => document.querySelector(`[name="${name}"]`)?.value;
const each = () => controls.querySelector('[name="show"]:checked')?.value === "seeds";
const known = (value) => value !== null && value !== undefined;

function meansOf(panel, log) {
  const on = panel.curves.filter((curve) => !off.has(curve.name)), shaded = on.length <= 10;
  return on.flatMap((curve) => {
    const ends = data.steps[curve.step];
    return curve.mean.flatMap((value, k) => {
      if (!known(value)) return [];
      const first = k ? ends[k - 1] : 0, error = curve.error[k] ?? 0;
      const low = !shaded ? value : log ? Math.max(value - error, value / 20) : value - error;
      const alone = curve.mean.length === 1 ? 1 : 0; // a line of one point is drawn as a dot
      const bin = `${(first + 1).toLocaleString("en")} to ${ends[k].toLocaleString("en")}`;
      return [{ name: curve.name, step: (first + ends[k]) / 2, bin, value, low, high: shaded ? value + error : value, error, alone, seeds: curve.count[k] }];
    });
  });
}

function seedsOf(panel) {
  return panel.curves.filter((curve) => !off.has(curve.name) && curve.values).flatMap((curve) => {
    const ends = data.steps[curve.step];
    return curve.values.flatMap((values, s) => values.flatMap((value, k) =>
      known(value) ? [{ name: curve.name, seed: curve.seeds[s], step: ((k ? ends[k - 1] : 0) + ends[k]) / 2, value }] : []));
  });
}

const rowsOf = {
  curves: (panel) => each()
    ? { means: [], seeds: seedsOf(panel), levels: panel.levels }
    : { means: meansOf(panel, checked("log-loss")), seeds: [], levels: panel.levels },
  finals: (panel) => ({
    finals: panel.curves.filter((c) => !off.has(c.name)).flatMap((c) =>
      c.final.flatMap((value, s) => known(value) ? [{ name: c.name, seed: c.seeds[s], value }] : [])),
    ends: panel.curves.filter((c) => !off.has(c.name) && known(c.end[0])).map((c) =>
      ({ name: c.name, value: c.end[0], error: c.end[1], low: c.end[0] - c.end[1], high: c.end[0] + c.end[1] })),
  }),
  costs: (cost) => ({ costs: cost.rows.filter((row) => !off.has(row.name)) }),
  heat: () => ({ heat: (data.heat.find((h) => h.part === valueOf("part") && h.measure === valueOf("measure")) ?? data.heat[0]).rows }),
};
const subjects = { curves: () => data.panels, finals: () => data.panels, costs: () => data.costs, heat: () => [{ title: "alignment" }] };

function specOf(kind, subject) {
  const spec = structuredClone(data.specs[kind]), layers = spec.layer ?? [spec], axes = kind === "finals" ? "x" : "y";
  const names = Object.keys(data.styles), theme = isDark() ? "dark" : "light";
  if (kind === "finals") spec.height = 26 * subject.curves.length; // a line for each rule
  if (kind === "heat") spec.height = 30 * Math.sqrt(data.heat[0].rows.length);
  for (const layer of layers) {
    const { color, strokeDash, x, y } = layer.encoding ?? {};
    if (color?.field === "name") color.scale = { domain: names, range: names.map((name) => data.styles[name][theme]) };
    if (strokeDash) strokeDash.scale = { domain: names, range: names.map((name) => data.styles[name].dash) };
    for (const channel of [layer.encoding?.[axes]]) {
      if (kind === "costs" || kind === "heat" || !channel) continue;
      channel.title = kind === "finals" ? `final loss: ${subject.unit}` : subject.unit;
      const log = subject.isLoss && checked("log-loss");
      const ends = kind === "finals" ? subject.curves.flatMap((curve) => curve.final.filter(known)) : [];
      const [least, most] = [Math.min(...ends), Math.max(...ends)];
      if (least === most) channel.scale = { domain: least ? [0.9 * least, 1.1 * least].sort((a, b) => a - b) : [-1, 1] }; // one number
      else channel.scale = log ? { type: "log", nice: false } : { zero: false, nice: kind === "finals" };
    }
    if (kind === "curves" && x?.field === "step") x.scale = checked("log-steps") ? { type: "log", nice: false } : { domainMin: 0, domainMax: Math.max(...subject.curves.map((curve) => data.steps[curve.step].at(-1) ?? 0)), nice: false };
    if (kind === "costs" && y) y.title = subject.unit;
  }
  return spec;
}

function config() {
  const style = getComputedStyle(root), ink = style.getPropertyValue("--ink"), soft = style.getPropertyValue("--soft"), line = style.getPropertyValue("--line");
  const font = getComputedStyle(document.body).fontFamily;
  return {
    background: null, font, view: { stroke: null }, text: { color: soft }, rule: { color: soft },
    axis: { labelColor: soft, titleColor: ink, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
  };
}

async function draw(place) {
  const kind = place.dataset.chart, subject = subjects[kind]()[place.dataset.number];
  const spec = { ...specOf(kind, subject), datasets: rowsOf[kind](subject) };
  views.get(place)?.finalize();
  const { view } = await vegaEmbed(place, spec, { actions: false, renderer: "svg", logLevel: 1, config: config() });
  views.set(place, view);
  place.querySelector("svg").setAttribute("aria-hidden", "true"); // the place itself has a name, and the tables have the numbers
}

async function refill(place) {
  const kind = place.dataset.chart, view = views.get(place);
  if (!view) return;
  for (const [name, rows] of Object.entries(rowsOf[kind](subjects[kind]()[place.dataset.number]))) view.data(name, rows);
  await view.resize().runAsync();
}

const places = () => [...document.querySelectorAll("[data-chart]")];
const drawAll = () => Promise.all(places().map(draw));
const refillAll = () => Promise.all(places().map(refill));
addEventListener("themed", drawAll);

document.addEventListener("change", (event) => {
  const { name, value, checked } = event.target;
  if (name === "rule") (checked ? off.delete(value) : off.add(value), refillAll());
  else if (name === "show" || name === "part" || name === "measure") refillAll();
  else if (name.startsWith("log-")) drawAll();
});
document.addEventListener("click", (event) => {
  if (!["all", "none"].includes(event.target.dataset?.rules)) return;
  for (const box of controls.querySelectorAll('[name="rule"]')) {
    box.checked = event.target.dataset.rules === "all";
    box.checked ? off.delete(box.value) : off.add(box.value);
  }
  refillAll();
});

// While the command computes, its page is asked for again and again; what has changed takes its place.
async function follow() {
  try {
    const page = new DOMParser().parseFromString(await (await fetch("/latest", { cache: "no-store" })).text(), "text/html");
    const latest = JSON.parse(page.getElementById("data").textContent);
    if (!latest.live) return location.reload(); // the run has ended: this is the report
    const alike = places().length === page.querySelectorAll("[data-chart]").length
      && Object.keys(latest.styles).join() === Object.keys(data.styles).join();
    if (!alike) return location.reload();
    data = latest;
    for (const fresh of page.querySelectorAll("[data-live]")) document.getElementById(fresh.id)?.replaceChildren(...fresh.childNodes);
    await refillAll();
    setTimeout(follow, 2000);
  } catch {
    document.getElementById("standing").textContent = "The command no longer answers: it has ended or was stopped. Run the same command to go on from there.";
  }
}

drawAll().then(() => { document.body.dataset.drawn = "yes"; if (data.live) setTimeout(follow, 2000); });
