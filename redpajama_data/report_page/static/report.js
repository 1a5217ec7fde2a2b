"use strict";
// Tables sort by the value of a cell (data-value, else its text). A head becomes a button: mouse and
// keyboard alike. The third press brings the first order back.
for (const table of document.querySelectorAll("table.sorts")) {
  const body = table.tBodies[0];
  const order = [...body.rows];
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => {
    if (head.classList.contains("flow")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    const turns = head.classList.contains("n") ? ["descending", "ascending"] : ["ascending", "descending"];
    button.addEventListener("click", () => {
      const turn = turns[turns.indexOf(head.getAttribute("aria-sort")) + 1]; // after the second: as it was
      for (const other of heads) other.removeAttribute("aria-sort");
      if (turn === undefined) {
        body.append(...order);
        return;
      }
      head.setAttribute("aria-sort", turn);
      const value = (row) => {
        const cell = row.cells[column];
        return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
      };
      const compare = (x, y) => (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
      const down = turn === "descending" ? -1 : 1;
      body.append(...[...order].sort((a, b) => down * compare(value(a), value(b))));
    });
  });
}
// Paper shows all.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => (each.open = true)));
// A link to a rule opens it.
const reveal = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", reveal);
reveal();
