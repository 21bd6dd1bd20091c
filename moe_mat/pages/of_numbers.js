// Plots of a target that is a number.
const MOST_WHISKERS = 150;

function interval(of, place) {
  return of.lower[place] === null ? "–" : `${digits(of.lower[place])} to ${digits(of.upper[place])}`;
}
class Parity extends CrystalPlot {
  get called() { return "parity plot"; }
  constructor(column) {
    super(column, "parity");
    this.held = PARTS.slice(1).reduce((sum, part) => sum + this.target.parts[part].row.length, 0);
  }
  frame(settings) {
    const {parts, name} = this.target;
    let low = Infinity, high = -Infinity;
    for (const value of PARTS.flatMap((part) => [...parts[part].true, ...parts[part].predicted])) {
      if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
    }
    const margin = 0.04 * (high - low || Math.abs(high) || 1);
    const range = () => new Bokeh.Range1d({start: low - margin, end: high + margin});
    const plot = newPlot(this.place, {
      width: 560, height: 560, x_range: range(), y_range: range(), x_axis_label: `true ${name}`, y_axis_label: `predicted ${name}`, ...settings,
    });
    const ends = [low - margin, high + margin];
    plot.line({x: ends, y: ends, line_color: colours()("soft"), line_width: 1, level: "underlay"});
    return plot;
  }
  places(of) { return [of.true, of.predicted]; }
  beneath(plot, part, colour) {
    if (part === "train" || this.held > MOST_WHISKERS) return;
    const of = this.target.parts[part], some = of.row.map((_, i) => i).filter((i) => of.lower[i] !== null);
    const pick = (values) => some.map((i) => values[i]);
    plot.segment({x0: pick(of.true), x1: pick(of.true), y0: pick(of.lower), y1: pick(of.upper),
      line_color: colour(part), line_alpha: 0.25, line_width: 1.5, level: "underlay"});
  }
  around(plot, ring) {
    plot.segment({field: "x"}, {field: "low"}, {field: "x"}, {field: "high"}, ring);
  }
  ringed(part, place) {
    const of = this.target.parts[part];
    const [low, high] = [of.lower[place], of.upper[place]].map((value) => value ?? of.predicted[place]);
    return {...super.ringed(part, place), low: [low], high: [high]};
  }
  facts(of, place) {
    return [
      ["true", digits(of.true[place])], ["predicted", digits(of.predicted[place])],
      [`${Math.round(100 * this.target.level)} % interval`, interval(of, place)],
    ];
  }
  details(of, place) {
    const [true_, predicted, bounds] = this.facts(of, place);
    return [true_, predicted, ["error", digits(of.predicted[place] - of.true[place], 3)], bounds];
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

const CrystalPlots = Parity;
const OTHER_PLOTS = {
  values: drawValues,
  coverage: (place, target) => drawCurves(place, target, "coverage"),
  retention: (place, target) => drawCurves(place, target, "retention"),
};
