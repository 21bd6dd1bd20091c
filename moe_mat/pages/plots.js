// What the plots of all pages share. Text from data goes into a page as text, never as HTML.
const drawn = JSON.parse(document.getElementById("drawn").textContent);
const plots = [];

function digits(value, n = 4) {
  return value === null || value === undefined ? "–" : String(Number(value.toPrecision(n)));
}
function element(name, text, children = []) {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  made.append(...children);
  return made;
}
function elementsOf(formula) {
  return [...new Set(formula.match(/[A-Z][a-z]?/g) ?? [])].sort();
}
function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

function newPlot(place, settings) {
  const colour = colours();
  const plot = Bokeh.Plotting.figure({
    sizing_mode: "scale_width", width: 400, height: 400, toolbar_location: null, tools: [],
    background_fill_color: colour("card"), border_fill_color: colour("card"), outline_line_color: null, min_border: 6, min_border_top: 12, min_border_right: 14,
    ...settings,
  });
  for (const axis of [plot.xaxis, plot.yaxis]) {
    Object.assign(axis, {
      axis_label_text_color: colour("soft"), major_label_text_color: colour("soft"), axis_line_color: colour("line"),
      major_tick_line_color: colour("line"), minor_tick_line_color: null, axis_label_text_font_style: "normal",
      axis_label_text_font_size: "13px", major_label_text_font_size: "12px",
    });
  }
  for (const grid of [plot.xgrid, plot.ygrid]) Object.assign(grid, {grid_line_color: colour("line"), grid_line_alpha: 0.6});
  place.replaceChildren();
  const shown = Bokeh.Plotting.show(plot, place);
  plots.push(shown);
  return plot;
}
function styleLegend(plot, location) {
  Object.assign(plot.legend, {
    location, background_fill_alpha: 0, border_line_color: null, label_text_color: colours()("soft"), label_text_font_size: "12px",
  });
}
function fromZero(values) {
  return new Bokeh.Range1d({start: 0, end: 1.05 * Math.max(...values) || 1});
}
