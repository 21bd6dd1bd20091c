// The page of a run: its plots are drawn, and tables lead to the crystals in them.
const crystals = drawn.map((_, column) => new CrystalPlots(column));
function drawAll() {
  plots.length = 0;
  for (const plot of crystals) plot.draw();
  for (const figure of document.querySelectorAll("[data-plot]")) {
    OTHER_PLOTS[figure.dataset.plot]?.(figure.querySelector("div"), drawn[Number(figure.dataset.target)]);
  }
}
drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

function onPress(found, act) {
  for (const one of found) {
    one.addEventListener("click", () => act(one));
    if (one.tagName !== "BUTTON") one.addEventListener("keydown", (event) => { if (event.key === "Enter") act(one); });
  }
}
onPress(document.querySelectorAll("tr[data-shown]"), (row) => {
  const plot = crystals[Number(row.dataset.target)];
  plot.find(Number(row.dataset.shown));
  plot.place.closest("section").scrollIntoView();
});
// Which crystals an element, a chemical system, or a field of a confusion matrix stands for.
function groupOf({element: name, system, cell}, {classes, judged}) {
  if (name !== undefined) return {name: `with ${name}`, fits: (of, place) => elementsOf(of.formula[place]).includes(name)};
  if (system !== undefined) return {name: `with ${system}`, fits: (of, place) => elementsOf(of.formula[place]).join("-") === system};
  const [true_, predicted] = cell.split(" ").map(Number);
  return {
    name: true_ === predicted ? `that are called ${classes[true_]}, rightly,` : `that are ${classes[true_]} and called ${classes[predicted]}`,
    fits: (of, place, part) => part === judged && of.true[place] === true_ && of.predicted[place] === predicted,
  };
}
onPress(document.querySelectorAll("[data-element], [data-system], [data-cell]"), (one) => {
  const section = one.closest("section"), column = Number(section.id.split("-")[1]);
  const pressed = one.getAttribute("aria-pressed") === "true", of_column = (name) => document.querySelectorAll(`section[id$="-${column}"] ${name}`);
  for (const other of of_column("[aria-pressed]")) other.removeAttribute("aria-pressed");
  for (const told of of_column("[data-told]")) told.textContent = "";
  if (!pressed) one.setAttribute("aria-pressed", "true");
  crystals[column].mark(pressed ? null : groupOf(one.dataset, drawn[column]), section.querySelector("[data-told]"));
});
for (const plot of crystals) {
  const worst = document.querySelector(`tr[data-shown][data-target="${plot.column}"]`);
  if (worst) plot.find(Number(worst.dataset.shown));
}
document.documentElement.dataset.ready = "true";
