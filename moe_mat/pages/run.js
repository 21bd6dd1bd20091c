// The plots of a run.
const PARTS = ["train", "val", "test"];
const TITLES = {train: "training", val: "validation", test: "test"};
const MOST_WHISKERS = 150;

function interval(of, place) {
  return of.lower[place] === null ? "–" : `${digits(of.lower[place])} to ${digits(of.upper[place])}`;
}
function text(kind, name) {
  return kind ? `${kind} ${name}` : name;
}

class Parity {
  constructor(column) {
    this.column = column;
    this.target = drawn[column];
    this.panel = document.querySelector(`[data-panel="${column}"]`);
    this.told = document.querySelector(`[data-told="${column}"]`);
    this.legend = document.querySelector(`[data-legend="${column}"]`);
    this.hidden = new Set();
    this.marked = null;
    this.chosen = null;
    this.listed();
  }
  // A box for each part that is there, which shows and hides it.
  listed() {
    for (const part of PARTS) {
      const n = this.target.parts[part].row.length;
      if (!n) continue;
      const box = element("input", null), dot = element("i", null);
      Object.assign(box, {type: "checkbox", checked: true});
      dot.style.background = `var(--${part})`;
      box.addEventListener("change", () => {
        this.hidden[box.checked ? "delete" : "add"](part);
        this.renderers[part].visible = box.checked;
      });
      const name = `${TITLES[part]} (${n})${part === "train" ? ", learned from" : ""}`;
      this.legend.append(element("label", null, [box, dot, name]));
    }
  }
  draw() {
    const {parts, name} = this.target, colour = colours();
    const values = PARTS.flatMap((part) => [...parts[part].true, ...parts[part].predicted]).filter((one) => one !== null);
    const place = document.querySelector(`[data-plot="parity"][data-target="${this.column}"] > div`);
    if (!values.length) return place.replaceChildren(element("p", "There is nothing to draw."));
    let low = Infinity, high = -Infinity;
    for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
    const margin = 0.04 * (high - low || Math.abs(high) || 1);
    const range = () => new Bokeh.Range1d({start: low - margin, end: high + margin});
    const plot = newPlot(place, {
      width: 560, height: 560, x_range: range(), y_range: range(),
      x_axis_label: text("true", name), y_axis_label: text("predicted", name), toolbar_location: "above",
      tools: [new Bokeh.PanTool(), new Bokeh.WheelZoomTool(), new Bokeh.BoxZoomTool(), new Bokeh.ResetTool()],
    });
    plot.toolbar.logo = null;
    plot.toolbar.autohide = true;
    plot.toolbar.active_drag = null;
    plot.line({x: [low - margin, high + margin], y: [low - margin, high + margin], line_color: colour("soft"), line_width: 1, level: "underlay"});
    const held = PARTS.slice(1).reduce((sum, part) => sum + parts[part].row.length, 0);
    this.renderers = {};
    for (const part of PARTS) {
      const of = parts[part];
      if (part !== "train" && held <= MOST_WHISKERS) {
        const some = of.row.map((_, i) => i).filter((i) => of.lower[i] !== null);
        const pick = (values) => some.map((i) => values[i]);
        plot.segment({x0: pick(of.true), x1: pick(of.true), y0: pick(of.lower), y1: pick(of.upper),
          line_color: colour(part), line_alpha: 0.25, line_width: 1.5, level: "underlay"});
      }
      const source = new Bokeh.ColumnDataSource({data: {
        x: of.true, y: of.predicted, alpha: of.row.map(() => part === "train" ? 0.55 : 0.85),
      }});
      this.renderers[part] = plot.scatter({field: "x"}, {field: "y"}, {
        source, size: part === "train" ? 6 : 8, fill_color: colour(part), line_color: colour("card"), line_width: 0.5,
        fill_alpha: {field: "alpha"}, line_alpha: {field: "alpha"}, visible: !this.hidden.has(part),
        nonselection_fill_alpha: {field: "alpha"}, nonselection_line_alpha: {field: "alpha"},
      });
      source.selected.properties.indices.change.connect(() => {
        const [place] = source.selected.indices;
        if (place !== undefined) this.choose(part, place);
      });
    }
    this.view = plots.at(-1);
    this.ring = new Bokeh.ColumnDataSource({data: {x: [], y: [], low: [], high: []}});
    const ring = plot.scatter({field: "x"}, {field: "y"}, {
      source: this.ring, size: 15, fill_color: null, line_color: colour("ink"), line_width: 2});
    const whisker = plot.segment({field: "x"}, {field: "low"}, {field: "x"}, {field: "high"}, {
      source: this.ring, line_color: colour("ink"), line_width: 2});
    const renderers = PARTS.map((part) => this.renderers[part]);
    const part_of = new Map(PARTS.map((part) => [this.renderers[part].data_source, part]));
    plot.add_tools(new Bokeh.HoverTool({renderers, tooltips: (source, {index}) => this.tip(part_of.get(source), index)}));
    plot.add_tools(new Bokeh.TapTool({renderers}));
    if (this.chosen) this.show(...this.chosen);
    this.mark(this.marked, false);
  }
  tip(part, place) {
    const of = this.target.parts[part], list = element("div", null);
    const lines = [
      [of.id[place], of.formula[place]], ["true", digits(of.true[place])], ["predicted", digits(of.predicted[place])],
      [`${Math.round(100 * this.target.level)} % interval`, interval(of, place)],
    ];
    for (const [name, value] of lines) {
      const line = element("div", null, [element("b", name), ` ${value}`]);
      line.style.cssText = "max-width: 240px; overflow-wrap: anywhere; font-size: 12px;";
      list.append(line);
    }
    return list;
  }
  // A crystal was clicked: in one part at a time.
  choose(part, place) {
    for (const other of PARTS) {
      const selected = this.renderers[other].data_source.selected;
      if (selected.indices.length) selected.indices = [];
    }
    this.show(part, place);
  }
  show(part, place) {
    const of = this.target.parts[part];
    this.chosen = [part, place];
    if (this.ring) {
      const [low, high] = [of.lower[place], of.upper[place]].map((value) => value ?? of.predicted[place]);
      this.ring.data = {x: [of.true[place]], y: [of.predicted[place]], low: [low], high: [high]};
    }
    const outside = of.outside[place] ? ": unlike the training" : "";
    const facts = [
      ["formula", of.formula[place]], ["atoms", String(of.n_atoms[place])],
      ["part", part === "train" ? "learned from" : TITLES[part]], ["true", digits(of.true[place])],
      ["predicted", digits(of.predicted[place])], ["error", digits(of.predicted[place] - of.true[place], 3)],
      [`${Math.round(100 * this.target.level)} % interval`, interval(of, place)],
      ["distance", of.percentile[place] === null ? "–" : `farther than ${Math.round(of.percentile[place])} % of the training${outside}`],
    ];
    const list = element("dl", null, facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
    this.panel.replaceChildren(element("h3", of.id[place]), list);
    const nearest = of.nearest[place];
    if (!nearest.length) {
      return this.panel.append(element("p", "The model does not name the crystals that it has learned from: it was trained before models did."));
    }
    const known = this.target.known;
    const rows = nearest.map((other, i) => element("tr", null, [
      element("td", known.id[other]), element("td", known.formula[other]), element("td", digits(known.value[other])),
      element("td", digits(of.distance[place][i], 3)),
    ]));
    const head = element("tr", null, ["crystal", "formula", "value", "distance"].map((name) => element("th", name)));
    for (const line of [head, ...rows]) {
      for (const cell of [line.cells[2], line.cells[3]]) cell.className = "n";
      line.cells[0].className = "name";
    }
    const table = element("table", null, [element("thead", null, [head]), element("tbody", null, rows)]);
    const wide = element("div", null, [table]);
    wide.className = "wide";
    this.panel.append(element("b", "Nearest crystals of the training"), wide);
  }
  find(row) {
    for (const part of PARTS) {
      const place = this.target.parts[part].row.indexOf(row);
      if (place >= 0 && part !== "train") return this.show(part, place);
    }
  }
  // Lets some crystals stand out; `null` ends it.
  mark(group, told = true) {
    this.marked = group;
    if (!this.renderers) return;
    let found = 0;
    for (const part of PARTS) {
      const source = this.renderers[part].data_source, of = this.target.parts[part], usual = part === "train" ? 0.55 : 0.85;
      const alpha = of.formula.map((formula) => {
        if (group === null) return usual;
        const elements = elementsOf(formula);
        const fits = group.system ? elements.join("-") === group.name : elements.includes(group.name);
        found += fits;
        return fits ? 1 : 0.06;
      });
      source.data = {...source.data, alpha};
    }
    if (told && this.told) this.told.textContent = group === null ? "" : `${found} drawn crystals with ${group.name} stand out in the parity plot; click again to see all.`;
  }
}

function drawValues(place, target) {
  const all = PARTS.flatMap((part) => target.parts[part].true);
  if (!all.length) return;
  let low = Infinity, high = -Infinity;
  for (const value of all) { low = Math.min(low, value); high = Math.max(high, value); }
  const n = Math.max(5, Math.min(30, Math.round(Math.sqrt(all.length)))), step = (high - low || 1) / n;
  const edges = Array.from({length: n + 1}, (_, i) => low + i * step);
  const shares = Object.fromEntries(PARTS.map((part) => {
    const values = target.parts[part].true, counts = new Array(n).fill(0);
    for (const value of values) counts[Math.min(n - 1, Math.floor((value - low) / step))] += 1 / values.length;
    return [part, counts];
  }));
  const plot = newPlot(place, {
    sizing_mode: "stretch_width", width: 520, height: 240, y_axis_label: "share", x_axis_label: target.name,
    y_range: fromZero(Object.values(shares).flat()),
  });
  for (const part of PARTS) {
    const counts = shares[part];
    if (!target.parts[part].true.length) continue;
    const x = [low, ...edges.flatMap((edge, i) => i ? [edges[i - 1], edge] : []), high];
    const y = [0, ...counts.flatMap((count) => [count, count]), 0];
    plot.line({x, y, line_color: colours()(part), line_width: 2, legend_label: TITLES[part]});
  }
  styleLegend(plot, "top_right");
}
function drawCurves(place, target, kind) {
  const colour = colours(), covered = kind === "coverage";
  const kept = (of) => of.level.map((_, i) => i).filter((i) => covered || of.level[i] > 0.1);
  const errors = Object.values(target.calibration).flatMap((of) => kept(of).map((i) => of.mae[i]));
  const plot = newPlot(place, {
    y_range: covered ? new Bokeh.Range1d({start: -2, end: 104}) : fromZero(errors),
    sizing_mode: "stretch_width", width: 420, height: 320, x_axis_label: covered ? "level of the interval, %" : "crystals kept, the surest first, %",
    y_axis_label: covered ? "values within it, %" : "MAE",
  });
  if (covered) plot.line({x: [0, 100], y: [0, 100], line_color: colour("soft"), line_dash: [4, 4]});
  for (const part of PARTS) {
    const of = target.calibration[part];
    if (!of) continue;
    const some = kept(of), y = some.map((i) => covered ? 100 * of.coverage[i] : of.mae[i]);
    plot.line({x: some.map((i) => 100 * of.level[i]), y, line_color: colour(part), line_width: 2.5, legend_label: TITLES[part]});
  }
  styleLegend(plot, covered ? "top_left" : "bottom_right");
}

const parities = drawn.map((_, column) => new Parity(column));
function drawAll() {
  plots.length = 0;
  for (const figure of document.querySelectorAll("[data-plot]")) {
    const kind = figure.dataset.plot, column = Number(figure.dataset.target), place = figure.querySelector("div");
    if (kind === "parity") parities[column].draw();
    else if (kind === "values") drawValues(place, drawn[column]);
    else drawCurves(place, drawn[column], kind);
  }
}
drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

function onPress(found, act) {
  for (const one of found) {
    one.addEventListener("click", () => act(one));
    if (one.tagName === "TR") one.addEventListener("keydown", (event) => { if (event.key === "Enter") act(one); });
  }
}
onPress(document.querySelectorAll("tr[data-shown]"), (row) => {
  const column = Number(row.dataset.target);
  parities[column].find(Number(row.dataset.shown));
  document.getElementById(`parity-${column}`).scrollIntoView();
});
onPress(document.querySelectorAll("[data-element], [data-system]"), (one) => {
  const section = one.closest("section"), column = Number(section.id.split("-")[1]);
  const pressed = one.getAttribute("aria-pressed") === "true";
  for (const other of section.querySelectorAll("[aria-pressed]")) other.removeAttribute("aria-pressed");
  if (!pressed) one.setAttribute("aria-pressed", "true");
  const {element: name, system} = one.dataset;
  parities[column].mark(pressed ? null : {name: name ?? system, system: name === undefined});
});
for (const parity of parities) {
  const worst = document.querySelector(`tr[data-shown][data-target="${parity.column}"]`);
  if (worst) parity.find(Number(worst.dataset.shown));
}
document.documentElement.dataset.ready = "true";
