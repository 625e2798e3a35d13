// Sort the rows of a table by one of its columns. Text stays text.
"use strict";
document.documentElement.classList.add("js");

const element = (id) => document.getElementById(id);

// Missing values come last in either direction.
function compare(a, b, kind, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  if (kind === "number") return sign * (Number(a) - Number(b));
  return sign * a.localeCompare(b, undefined, { numeric: true });
}

function sortBy(table, header) {
  const column = header.cellIndex;
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  const value = (row) => row.cells[column].dataset.value;
  const sorted = Array.from(table.tBodies[0].rows).sort((a, b) =>
    compare(value(a), value(b), header.dataset.kind, ascending ? 1 : -1));
  for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  table.tBodies[0].append(...sorted);
}

function makeSortable(table) {
  for (const header of table.tHead.rows[0].cells) {
    header.querySelector("button").addEventListener("click", () => sortBy(table, header));
  }
}
