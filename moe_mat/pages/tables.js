"use strict";
// Tables are sorted by a click on a head, and filtered by a field above them.
function sortValue(cell) {
  const text = cell.textContent.trim();
  const number = Number(text.replace(/[^0-9eE+.,-]/g, "").replace(/,/g, ""));
  return /\d/.test(text) && !/^[A-Za-z]/.test(text) && Number.isFinite(number) ? number : text.toLowerCase();
}
for (const head of document.querySelectorAll("table.sortable th")) {
  head.tabIndex = 0;
  const sort = () => {
    const table = head.closest("table"), place = head.cellIndex, body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") !== "descending" && head.classList.contains("n")
      || head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [sortValue(row.cells[place]), row]);
    rows.sort(([a], [b]) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
    if (down) rows.reverse();
    body.append(...rows.map(([, row]) => row));
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
for (const field of document.querySelectorAll("input.filter")) {
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of document.querySelectorAll(`#${field.dataset.table} tbody tr`)) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}
