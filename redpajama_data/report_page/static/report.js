"use strict";
// Tables sort by the value of a cell (data-value, else its text). A head becomes a button: mouse and keyboard alike.
for (const table of document.querySelectorAll("table.sorts")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    if (head.classList.contains("flow")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.dataset.sorted === "descending" ? 1 : head.dataset.sorted === "ascending" ? -1 : head.classList.contains("n") ? -1 : 1;
      for (const other of table.querySelectorAll("thead th")) {
        other.removeAttribute("aria-sort");
        if (other !== head) delete other.dataset.sorted;
      }
      head.dataset.sorted = down < 0 ? "descending" : "ascending";
      head.setAttribute("aria-sort", head.dataset.sorted);
      const value = (row) => {
        const cell = row.cells[column];
        return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
      };
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        return down * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
      });
      body.append(...rows);
    });
  });
}
// A link to a rule opens it.
const reveal = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", reveal);
reveal();
