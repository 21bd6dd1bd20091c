// The plots of the benchmark: errors by task, and the crystals of one task.
const PALETTE = ["#2f86c1", "#e0a458", "#5a9e6f", "#d0616e", "#8d80c9", "#8a97a3", "#d07ba5", "#2fa5a5", "#a97f52"];
const MARKS = ["circle", "square", "triangle", "inverted_triangle"];
const byId = (id) => document.getElementById(id);
const shown = new Set(drawn.methods.filter((one) => one.shown).map((one) => one.name));
// Methods that are shown at first get the first colours, and the one that others are compared with the very first.
const ranked = [...drawn.methods].sort((a, b) => (b.name === drawn.reference) - (a.name === drawn.reference) || b.shown - a.shown).map((one) => one.name);
const colour_of = (method) => PALETTE[ranked.indexOf(method) % PALETTE.length];
const mark_of = (method) => MARKS[Math.floor(ranked.indexOf(method) / PALETTE.length) % MARKS.length];

function option(name, told = name) {
  const made = element("option", told);
  made.value = name;
  return made;
}
function withUnit(value, task) {
  return `${digits(value)} ${task.unit}`.trim();
}
function three(value) {
  return value < 1e3 && value >= 1e-4 ? value.toPrecision(3) : digits(value, 3);
}
function spanOf([, low, high]) {
  return low === null ? "" : ` [${three(low)}, ${three(high)}]`;
}
function lines(rows) {
  const list = element("div", null);
  for (const [name, value] of rows) {
    const line = element("div", null, [element("b", name), ` ${value}`]);
    line.style.cssText = "max-width: 260px; overflow-wrap: anywhere; font-size: 12px;";
    list.append(line);
  }
  return list;
}
function table(head, rows) {
  const line = (tag, cells) => element("tr", null, cells.map((one, place) => {
    const cell = element(tag, String(one));
    if (place) cell.className = "n";
    return cell;
  }));
  const body = rows.map((cells) => line("td", cells));
  return [element("table", null, [element("thead", null, [line("th", head)]), element("tbody", null, body)]), body];
}

// Errors over those of one method, a row a task; the task's name stands in its row, so that it fits a telephone.
function errorOf(task, method) {
  return task.maes[method]?.[0] ?? task.published[method] ?? null;
}
function drawRelative() {
  const base = byId("pick-base").value, colour = colours();
  const tasks = drawn.tasks.filter((task) => errorOf(task, base) !== null);
  const methods = drawn.methods.map((one) => one.name).filter((one) => shown.has(one) && one !== base);
  const marks = methods.map((method, rank) => {
    const data = {x: [], y: [], low: [], high: [], task: [], method: []};
    tasks.forEach((task, row) => {
      const found = task.maes[method];
      if (!found) return;
      const unit = errorOf(task, base);
      data.x.push(found[0] / unit);
      data.low.push((found[1] ?? found[0]) / unit);
      data.high.push((found[2] ?? found[0]) / unit);
      data.y.push(row + 0.1 + 0.62 * (rank + 0.5) / methods.length);
      data.task.push(task);
      data.method.push(method);
    });
    return data;
  });
  const published = {x: [], y: [], task: [], method: []};
  tasks.forEach((task, row) => {
    for (const goal of drawn.goals) {
      if (goal === base || task.published[goal] === undefined) continue;
      published.x.push(task.published[goal] / errorOf(task, base));
      published.y.push(row + 0.41);
      published.task.push(task);
      published.method.push(goal);
    }
  });
  const values = [...marks.flatMap((one) => [...one.x, ...one.low]), ...published.x, 1];
  const [start, end] = [Math.max(0.1, Math.min(...values) * 0.9), Math.min(8, Math.max(...marks.flatMap((one) => one.x), ...published.x, 1) * 1.25)];
  const ticks = [0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.4, 2, 3, 4, 6, 8].filter((one) => one >= start && one <= end);
  const plot = newPlot(document.querySelector('[data-plot="relative"] > div'), {
    sizing_mode: "stretch_width", width: 900, height: 90 + 46 * tasks.length, x_axis_type: "log",
    x_range: new Bokeh.Range1d({start, end}), y_range: new Bokeh.Range1d({start: tasks.length, end: -0.2}),
    x_axis_label: `test MAE over that of ${base}`,
  });
  plot.yaxis.visible = false;
  plot.ygrid.ticker = new Bokeh.FixedTicker({ticks: tasks.map((_, row) => row)});
  plot.xaxis.ticker = new Bokeh.FixedTicker({ticks});
  plot.xaxis.formatter = new Bokeh.CustomJSTickFormatter({code: "return String(Number(tick.toPrecision(2)))"});
  plot.line({x: [1, 1], y: [-0.2, tasks.length], line_color: colour("soft"), line_width: 1.5, level: "underlay"});
  plot.text({
    x: tasks.map(() => start * 1.01), y: tasks.map((_, row) => row + 0.02), text: tasks.map((task) => task.title),
    text_font_size: "12px", text_color: colour("soft"), text_baseline: "top",
  });
  const renderers = [];
  const scatter = (data, settings) => {
    const source = new Bokeh.ColumnDataSource({data});
    renderers.push(plot.scatter({field: "x"}, {field: "y"}, {source, ...settings}));
  };
  scatter(published, {marker: "diamond", size: 11, fill_color: colour("card"), line_color: colour("ink"), line_width: 1.4});
  marks.forEach((data, rank) => {
    const method = methods[rank], first = method === drawn.reference;
    plot.segment({x0: data.low, x1: data.high.map((one) => Math.min(one, end)), y0: data.y, y1: data.y, line_color: colour_of(method), line_width: first ? 2 : 1, line_alpha: 0.75});
    scatter(data, {marker: mark_of(method), size: first ? 10 : 7, fill_color: colour_of(method), line_color: colour("card"), line_width: 0.5});
  });
  const tooltips = (source, {index}) => {
    const {task, method, x} = source.data, of = task[index], found = of.maes[method[index]];
    return lines([
      [method[index], found ? "" : "(published)"], [of.title, ""],
      ["MAE", `${three(errorOf(of, method[index]))}${found ? spanOf(found) : ""} ${of.unit}`], [`over ${base}`, three(x[index])],
    ]);
  };
  plot.add_tools(new Bokeh.HoverTool({renderers, tooltips}));
}
function listMethods() {
  for (const {name, title, learned_from: rows} of drawn.methods) {
    const box = element("input", null), dot = element("i", null);
    Object.assign(box, {type: "checkbox", checked: shown.has(name)});
    dot.style.background = colour_of(name);
    box.addEventListener("change", () => {
      shown[box.checked ? "add" : "delete"](name);
      drawRelative();
    });
    const label = element("label", null, [box, dot, name]);
    label.title = [title, rows && `learned from ${rows}`].filter(Boolean).join("; ");
    byId("pick-methods").append(label);
  }
}

// One task: its crystals, what each method says of them, and what its gate listens to.
const state = {task: null, method: drawn.reference, crystal: null, ring: null};
function chooseTask(name) {
  state.task = drawn.tasks.find((task) => task.name === name);
  const told = Object.keys(state.task.crystals?.predicted ?? {});
  byId("pick-method").replaceChildren(...told.map((one) => option(one)));
  if (!told.includes(state.method)) state.method = told.includes(drawn.reference) ? drawn.reference : told[0];
  byId("pick-method").value = state.method ?? "";
  state.crystal = null;
  byId("task-panel").replaceChildren(element("p", "Click a crystal."));
  listErrors();
  drawMethod();
}
function drawMethod() {
  const {task, method} = state, of = task.crystals, place = document.querySelector('[data-plot="parity"] > div');
  listWeights();
  if (!of) {
    byId("task-told").textContent = "";
    byId("task-worst").replaceChildren();
    return place.replaceChildren(element("p", "The results keep no predictions of this task."));
  }
  const part = of.id.length < of.n_all ? ` ${of.id.length} of the ${of.n_all} test crystals are drawn, the worst of every method among them.` : "";
  byId("task-told").textContent = `${method}: MAE ${`${three(task.maes[method][0])}${spanOf(task.maes[method])} ${task.unit}`.trim()}.${part}`;
  document.querySelector('[data-plot="parity"] figcaption').textContent = "Each crystal's mean over the splits that test it";
  drawParity(place);
  const worst = listWorst();
  choose(state.crystal ?? worst);
}
function drawParity(place) {
  const {task, method} = state, of = task.crystals, predicted = of.predicted[method], colour = colours();
  const values = [...of.true, ...predicted], low = Math.min(...values), high = Math.max(...values);
  const margin = 0.04 * (high - low || Math.abs(high) || 1);
  const range = () => new Bokeh.Range1d({start: low - margin, end: high + margin});
  const unit = task.unit ? `, ${task.unit}` : "";
  const plot = newPlot(place, {
    width: 560, height: 560, x_range: range(), y_range: range(), x_axis_label: `true${unit}`, y_axis_label: `predicted by ${method}${unit}`,
    toolbar_location: "above", tools: [new Bokeh.PanTool(), new Bokeh.WheelZoomTool(), new Bokeh.BoxZoomTool(), new Bokeh.ResetTool()],
  });
  Object.assign(plot.toolbar, {logo: null, autohide: true, active_drag: null});
  plot.line({x: [low - margin, high + margin], y: [low - margin, high + margin], line_color: colour("soft"), line_width: 1, level: "underlay"});
  const source = new Bokeh.ColumnDataSource({data: {x: of.true, y: predicted}});
  const settings = {fill_color: colour_of(method), line_color: colour("card"), line_width: 0.5, fill_alpha: 0.75};
  const renderer = plot.scatter({field: "x"}, {field: "y"}, {source, size: 8, ...settings, nonselection_fill_alpha: 0.75});
  state.ring = new Bokeh.ColumnDataSource({data: {x: [], y: [], low: [], high: []}});
  plot.scatter({field: "x"}, {field: "y"}, {source: state.ring, size: 15, fill_color: null, line_color: colour("ink"), line_width: 2});
  plot.segment({field: "x"}, {field: "low"}, {field: "x"}, {field: "high"}, {source: state.ring, line_color: colour("ink"), line_width: 2});
  source.selected.properties.indices.change.connect(() => {
    const [one] = source.selected.indices;
    if (one !== undefined) choose(one);
  });
  const tooltips = (_, {index}) => lines([
    [of.id[index], of.formula[index]], ["true", digits(of.true[index])], ["predicted", digits(predicted[index])],
    ...(method === drawn.reference ? [["90 % interval", span(index)]] : []),
  ]);
  plot.add_tools(new Bokeh.HoverTool({renderers: [renderer], tooltips}), new Bokeh.TapTool({renderers: [renderer]}));
}
function span(place) {
  const of = state.task.crystals;
  return of.lower[place] === null ? "–" : `${digits(of.lower[place])} to ${digits(of.upper[place])}`;
}
function choose(place) {
  const {task, method} = state, of = task.crystals, value = of.predicted[method][place];
  const [low, high] = method === drawn.reference && of.lower[place] !== null ? [of.lower[place], of.upper[place]] : [value, value];
  state.crystal = place;
  state.ring.data = {x: [of.true[place]], y: [value], low: [low], high: [high]};
  const facts = [
    ["formula", of.formula[place] || "–"], ["true", withUnit(of.true[place], task)], ["tested by", `${of.n_splits[place]} of 5 splits`],
    [`90 % of ${drawn.reference}`, span(place)],
  ];
  const list = element("dl", null, facts.flatMap(([name, told]) => [element("dt", name), element("dd", told)]));
  const rows = Object.entries(of.predicted).map(([name, all]) => [name, digits(all[place]), digits(all[place] - of.true[place], 3)]);
  rows.sort((a, b) => Math.abs(a[2]) - Math.abs(b[2]));
  const wide = element("div", null, [table(["method", "predicted", "error"], rows)[0]]);
  wide.className = "wide";
  byId("task-panel").replaceChildren(element("h3", of.id[place]), list, element("b", "What each method says, the nearest first"), wide);
}
function listErrors() {
  const {task} = state, own = errorOf(task, drawn.reference);
  const rows = [...Object.entries(task.maes), ...Object.entries(task.published).map(([name, mae]) => [name, [mae, null, null]])];
  rows.sort(([, a], [, b]) => a[0] - b[0]);
  const told = rows.map(([name, [mae, low, high]]) => [
    name, three(mae), low === null ? "–" : `${three(low)} to ${three(high)}`, own ? `${mae < own ? "" : "+"}${(100 * (mae / own - 1)).toFixed(1)} %` : "–",
  ]);
  const [made, body] = table(["method", "MAE", "95 % interval", `against ${drawn.reference}`], told);
  rows.forEach(([name], place) => {
    if (name === drawn.reference) body[place].className = "main";
    else if (!(name in task.maes)) body[place].className = "published";
  });
  byId("task-errors").replaceChildren(made);
}
function listWorst() {
  const {task, method} = state, of = task.crystals, errors = of.predicted[method].map((one, place) => one - of.true[place]);
  const worst = errors.map((_, place) => place).sort((a, b) => Math.abs(errors[b]) - Math.abs(errors[a])).slice(0, 12);
  const rows = worst.map((place) => [of.id[place], of.formula[place] || "–", digits(of.true[place]), digits(of.predicted[method][place]), digits(errors[place], 3)]);
  const [made, body] = table(["crystal", "formula", "true", "predicted", "error"], rows);
  body.forEach((row, rank) => {
    row.tabIndex = 0;
    row.dataset.shown = worst[rank];
    row.cells[0].className = "name";
    row.addEventListener("click", () => choose(worst[rank]));
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(worst[rank]); });
  });
  byId("task-worst").replaceChildren(made);
  return worst[0];
}
function listWeights() {
  const {task, method} = state, weights = task.gates[method] ?? [];
  if (!weights.length) return byId("task-weights").replaceChildren(element("p", `${method ?? "This method"} has no gate.`));
  const [made, body] = table(["expert", "weight", ""], weights.map(([tag, weight]) => [tag, weight.toFixed(3), ""]));
  body.forEach((row, place) => {
    const bar = element("span", null);
    bar.className = "bar";
    bar.style.width = `${100 * weights[place][1] / weights[0][1]}%`;
    row.cells[2].className = "bars";
    row.cells[2].append(bar);
  });
  byId("task-weights").replaceChildren(made);
}

byId("pick-base").append(...[...drawn.goals, ...drawn.methods.map((one) => one.name)].filter((name) => drawn.tasks.some((task) => errorOf(task, name) !== null)).map((one) => option(one)));
byId("pick-base").addEventListener("change", drawRelative);
byId("pick-task").append(...drawn.tasks.map((task) => option(task.name, task.title)));
byId("pick-task").addEventListener("change", (event) => chooseTask(event.target.value));
byId("pick-method").addEventListener("change", (event) => { state.method = event.target.value; drawMethod(); });
listMethods();
function drawAll() {
  plots.length = 0;
  drawRelative();
  drawMethod();
}
drawRelative();
chooseTask(drawn.tasks[0].name);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
// What a link leads to is unfolded.
function unfold() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  const folded = target?.closest("details") ?? target?.querySelector(":scope > details");
  if (folded) folded.open = true;
  if (folded) target.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();
document.documentElement.dataset.ready = "true";
