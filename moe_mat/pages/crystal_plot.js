// A plot of a run with a point for each crystal: of what kind, a class derived from this one says.
const PARTS = ["train", "val", "test"];
const TITLES = {train: "training", val: "validation", test: "test"};

class CrystalPlot {
  constructor(column, kind) {
    this.column = column;
    this.target = drawn[column];
    this.place = document.querySelector(`[data-plot="${kind}"][data-target="${column}"] > div`);
    this.panel = document.querySelector(`[data-panel="${column}"]`);
    this.legend = document.querySelector(`[data-legend="${column}"]`);
    this.hidden = new Set();
    this.marked = null;
    this.chosen = null;
    this.listed();
  }
  // What a kind of plot says for itself: its name, the empty plot, places of crystals, their colours, what is drawn
  // beneath them and around the chosen one, the sign of a part, facts of a crystal, and how a value reads.
  get called() { return "plot"; }
  frame() { throw new Error("a kind of plot has a frame"); }
  places() { throw new Error("a kind of plot knows where crystals are"); }
  fills(part, colour) { return this.target.parts[part].row.map(() => colour(part)); }
  look(part) { return {size: part === "train" ? 6 : 8}; }
  alpha(part) { return part === "train" ? 0.55 : 0.85; }
  beneath() {}
  around() {}
  ringed(part, place) {
    const [x, y] = this.places(this.target.parts[part]);
    return {x: [x[place]], y: [y[place]]};
  }
  sign(part) {
    const dot = element("i", null);
    dot.style.background = `var(--${part})`;
    return dot;
  }
  facts() { return []; }
  details() { return []; }
  known(value) { return digits(value); }

  // A box for each part that is there, which shows and hides it.
  listed() {
    for (const part of PARTS) {
      const n = this.target.parts[part].row.length;
      if (!n) continue;
      const box = element("input", null);
      Object.assign(box, {type: "checkbox", checked: true});
      box.addEventListener("change", () => {
        this.hidden[box.checked ? "delete" : "add"](part);
        this.renderers[part].visible = box.checked;
      });
      const name = `${TITLES[part]} (${n})${part === "train" ? ", learned from" : ""}`;
      this.legend.append(element("label", null, [box, this.sign(part), name]));
    }
  }
  draw() {
    const {parts} = this.target, colour = colours();
    if (!PARTS.some((part) => parts[part].row.length)) {
      return this.place.replaceChildren(element("p", "There is nothing to draw."));
    }
    const plot = this.frame({
      toolbar_location: "above",
      tools: [new Bokeh.PanTool(), new Bokeh.WheelZoomTool(), new Bokeh.BoxZoomTool(), new Bokeh.ResetTool()],
    });
    plot.toolbar.logo = null;
    plot.toolbar.autohide = true;
    plot.toolbar.active_drag = null;
    this.renderers = {};
    for (const part of PARTS) {
      this.beneath(plot, part, colour);
      const [x, y] = this.places(parts[part]);
      const alpha = parts[part].row.map(() => this.alpha(part));
      const source = new Bokeh.ColumnDataSource({data: {x, y, alpha, fill: this.fills(part, colour)}});
      this.renderers[part] = plot.scatter({field: "x"}, {field: "y"}, {
        source, ...this.look(part), fill_color: {field: "fill"}, line_color: colour("card"), line_width: 0.5,
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
    const ring = {source: this.ring, line_color: colour("ink"), line_width: 2};
    plot.scatter({field: "x"}, {field: "y"}, {...ring, size: 15, fill_color: null});
    this.around(plot, ring);
    const renderers = PARTS.map((part) => this.renderers[part]);
    const part_of = new Map(PARTS.map((part) => [this.renderers[part].data_source, part]));
    plot.add_tools(new Bokeh.HoverTool({renderers, tooltips: (source, {index}) => this.tip(part_of.get(source), index)}));
    plot.add_tools(new Bokeh.TapTool({renderers}));
    if (this.chosen) this.show(...this.chosen);
    this.mark(this.marked);
  }
  tip(part, place) {
    const of = this.target.parts[part], list = element("div", null);
    for (const [name, value] of [[of.id[place], of.formula[place]], ...this.facts(of, place)]) {
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
    if (this.ring) this.ring.data = this.ringed(part, place);
    const outside = of.outside[place] ? ": unlike the training" : "";
    const facts = [
      ["formula", of.formula[place]], ["atoms", String(of.n_atoms[place])],
      ["part", part === "train" ? "learned from" : TITLES[part]], ...this.details(of, place),
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
      element("td", known.id[other]), element("td", known.formula[other]), element("td", this.known(known.value[other])),
      element("td", digits(of.distance[place][i], 3)),
    ]));
    const head = element("tr", null, ["crystal", "formula", this.valued, "distance"].map((name) => element("th", name)));
    for (const line of [head, ...rows]) {
      for (const cell of this.numbered.map((i) => line.cells[i])) cell.className = "n";
      line.cells[0].className = "name";
    }
    const table = element("table", null, [element("thead", null, [head]), element("tbody", null, rows)]);
    const wide = element("div", null, [table]);
    wide.className = "wide";
    this.panel.append(element("b", "Nearest crystals of the training"), wide);
  }
  get valued() { return "value"; }
  get numbered() { return [2, 3]; }
  find(row) {
    for (const part of PARTS) {
      const place = this.target.parts[part].row.indexOf(row);
      if (place >= 0 && part !== "train") return this.show(part, place);
    }
  }
  // Lets the crystals stand out that fit, and tells how many; `null` ends it.
  mark(group, told = null) {
    this.marked = group;
    if (!this.renderers) return;
    let found = 0;
    for (const part of PARTS) {
      const source = this.renderers[part].data_source, of = this.target.parts[part];
      const alpha = of.row.map((_, place) => {
        if (group === null) return this.alpha(part);
        const fits = group.fits(of, place, part);
        found += fits;
        return fits ? 1 : 0.06;
      });
      source.data = {...source.data, alpha};
    }
    if (told) told.textContent = group === null ? "" : `${found} drawn crystals ${group.name} stand out in the ${this.called}; click again to see all.`;
  }
}
