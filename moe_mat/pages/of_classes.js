// Plots of a target that is a class.
const SIGNS = {train: "·", val: "▲", test: "●"};
const MARKERS = {train: "circle", val: "triangle", test: "circle"};
const LONGEST_LABEL = 14;

function percents(share) {
  return share > 0 && share < 0.005 ? "<1 %" : `${Math.round(100 * share)} %`;
}
// Places beside each other for crystals that would hide one another: spread evenly, and the same each time.
function aside(row) {
  return 0.76 * ((row * 0.6180339887) % 1 - 0.5);
}
class Strips extends CrystalPlot {
  constructor(column) {
    super(column, "strips");
    const {classes, coloured} = this.target, kinds = coloured ? classes.map((name, i) => [name, `class-${i}`]) : [["right", "good"], ["wrong", "bad"]];
    const said = coloured ? "predicted:" : "the predicted class is";
    this.legend.append(element("span", said), ...kinds.map(([name, colour]) => {
      const dot = element("i", null);
      dot.style.background = `var(--${colour})`;
      return element("label", null, [dot, name]);
    }));
  }
  frame(settings) {
    const {classes, name} = this.target, n = classes.length, colour = colours();
    const plot = newPlot(this.place, {
      width: 560, height: 560, x_range: new Bokeh.Range1d({start: -0.6, end: n - 0.4}), y_range: new Bokeh.Range1d({start: -3, end: 103}),
      x_axis_label: `true ${name}`, y_axis_label: "probability of the true class, %", ...settings,
    });
    const labels = classes.map((one) => one.length > LONGEST_LABEL ? `${one.slice(0, LONGEST_LABEL - 1)}…` : one);
    const crowded = labels.reduce((sum, one) => sum + one.length, 0) > 50;
    Object.assign(plot.xaxis, {
      ticker: new Bokeh.FixedTicker({ticks: labels.map((_, i) => i)}), major_label_overrides: new Map(labels.map((one, i) => [i, one])),
      major_label_orientation: crowded ? n > 12 ? "vertical" : Math.PI / 5 : "horizontal",
    });
    plot.xgrid.grid_line_color = null;
    plot.line({x: [-0.6, n - 0.4], y: [50, 50], line_color: colour("soft"), line_dash: [4, 4], level: "underlay"});
    return plot;
  }
  places(of) { return [of.true.map((one, i) => one + aside(of.row[i])), of.p_true.map((share) => 100 * share)]; }
  fills(part, colour) {
    const of = this.target.parts[part];
    return of.predicted.map((one, i) => colour(this.target.coloured ? `class-${one}` : one === of.true[i] ? "good" : "bad"));
  }
  look(part) { return {size: part === "train" ? 5 : 9, marker: MARKERS[part]}; }
  alpha(part) { return part === "train" ? 0.35 : 0.9; }
  sign(part) { return element("b", SIGNS[part]); }
  get valued() { return "class"; }
  get numbered() { return [3]; }
  known(value) { return this.target.classes[value]; }
  facts(of, place) {
    return [
      ["true", this.known(of.true[place])], ["predicted", this.known(of.predicted[place])],
      ["probability of the true class", percents(of.p_true[place])],
    ];
  }
  details(of, place) {
    const said = of.likely[place].map((one, i) => `${this.known(one)} ${percents(of.probabilities[place][i])}`);
    const [true_, predicted] = this.facts(of, place);
    if (!of.likely[place].includes(of.true[place])) said.push(`… ${this.known(of.true[place])} ${percents(of.p_true[place])}`);
    return [true_, predicted, ["probabilities", said.join(", ")]];
  }
}

function drawReliability(place, target) {
  const colour = colours(), range = () => new Bokeh.Range1d({start: -2, end: 104});
  const plot = newPlot(place, {
    sizing_mode: "stretch_width", width: 420, height: 320, x_range: range(), y_range: range(),
    x_axis_label: `probability of ${target.of}, %`, y_axis_label: "true of them, %",
  });
  plot.line({x: [0, 100], y: [0, 100], line_color: colour("soft"), line_dash: [4, 4]});
  for (const part of PARTS) {
    const of = target.reliability[part];
    if (!of) continue;
    const x = of.probability.map((one) => 100 * one), y = of.share.map((one) => 100 * one);
    plot.line({x, y, line_color: colour(part), line_width: 2.5, legend_label: TITLES[part]});
    plot.scatter({x, y, size: 7, fill_color: colour(part), line_color: null});
  }
  styleLegend(plot, "top_left");
}
function drawRoc(place, target) {
  const colour = colours(), range = () => new Bokeh.Range1d({start: -2, end: 104});
  const plot = newPlot(place, {
    sizing_mode: "stretch_width", width: 420, height: 320, x_range: range(), y_range: range(),
    x_axis_label: "of the others, taken for it, %", y_axis_label: "of the class, found, %",
  });
  plot.line({x: [0, 100], y: [0, 100], line_color: colour("soft"), line_dash: [4, 4]});
  target.classes.forEach((name, i) => {
    const of = target.roc[i];
    if (!of) return;
    plot.line({x: of.false.map((one) => 100 * one), y: of.found.map((one) => 100 * one), line_color: colour(`class-${i}`), line_width: 2.5, legend_label: name});
  });
  styleLegend(plot, "bottom_right");
}

const CrystalPlots = Strips;
const OTHER_PLOTS = {reliability: drawReliability, roc: drawRoc};
