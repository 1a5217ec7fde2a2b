// What is around the map: filters, legend, list, and the document.

const NARROW = "(max-width: 720px)"; // as in style.css
const FILTERS = ["language", "licence", "verdict", "cluster", "layer"];

function element(name, text, parent) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function options(id, pairs) {
  for (const [value, label] of pairs) element("option", label, byId(id)).value = value;
}

function commandOf(data, i) {
  return `rpj explain ${data.about.root} '${data.cards[i].id.replaceAll("'", "'\\''")}'`;
}

// The document that a line of the root is, if it is named and on the map: root:/c4/NAME.jsonl.zst#17.
function rowOf(data, value) {
  const named = /root:\/(.+?#\d+)/.exec(value);
  if (!named) return undefined;
  data.lines ||= new Map(data.cards.map((card, i) => [`${card.shard}#${card.line}`, i]));
  return data.lines.get(named[1]);
}

function countOf(about, shown) {
  const figure = (count) => count.toLocaleString("en");
  const dropped = about.rows - about.documents;
  const sampled = about.of > about.documents ? ` sampled from ${figure(about.of)}` : "";
  if (!dropped) return `${figure(shown)} of ${figure(about.rows)}${sampled} documents`;
  return `${figure(shown)} of ${figure(about.rows)} documents: ${figure(about.documents)} published${sampled}, ${figure(dropped)} of ${figure(about.dropped_of)} dropped (crosses)`;
}

async function start() {
  const data = await load(), { about, n } = data;
  if (matchMedia(NARROW).matches) byId("key").open = false;
  const hidden = new Set();
  let words = null, asked = 0;

  const view = new MapView(data, update, choose);
  const kindNames = Object.keys(about.kinds);
  options("colour", [...kindNames, ...about.numbers].map((name) => [name, name]));
  for (const id of ["x", "y"]) options(id, about.axes.map((name) => [name, name]));
  byId("y").value = about.axes[1];
  for (const name of FILTERS) {
    options(name, [["", "all"], ...about.kinds[name].map((label, k) => [k, label || "none"])]);
    byId(name).parentElement.hidden = about.kinds[name].length < 2;
  }
  byId("query").hidden = !data.words;
  options("number", about.numbers.map((name) => [name, name]));
  if (!data.texts && !data.served) byId("search").placeholder = "titles and addresses (texts: --serve)";

  function update() {
    const wanted = FILTERS
      .filter((name) => byId(name).value !== "")
      .map((name) => [data.kinds[name], +byId(name).value]);
    const column = data.numbers[byId("number").value];
    const from = byId("from").value === "" ? null : +byId("from").value;
    const to = byId("to").value === "" ? null : +byId("to").value;
    const own = data.kinds[view.by];
    const rows = [];
    for (let i = 0; i < n; i++) {
      const ok = (!words || words[i]) && (!view.lassoed || view.lassoed[i]) && !(own && hidden.has(own[i]))
        && wanted.every(([values, value]) => values[i] === value)
        && (from === null || column[i] >= from) && (to === null || column[i] <= to);
      view.shown[i] = ok ? 1 : 0;
      if (ok) rows.push(i);
    }
    byId("count").textContent = countOf(about, rows.length);
    byId("listed").textContent = rows.length > LISTED ? `The first ${LISTED} shown` : "Shown";
    const like = data.numbers[LIKENESS];
    if (like) {
      rows.sort((a, b) => like[b] - like[a] || a - b);
      byId("listed").textContent = "Most like the text";
    }
    list(byId("list"), rows.slice(0, LISTED).map((i) =>
      [i, `${about.kinds.slice[data.kinds.slice[i]]}${like ? ` ${like[i].toFixed(3)}` : ""}`]));
    view.draw();
  }

  function list(parent, rows) {
    parent.replaceChildren(...rows.map(([i, note]) => {
      const item = document.createElement("li"), button = element("button", data.cards[i].title || "(no text)", item);
      button.type = "button";
      element("small", ` ${note}`, button);
      button.addEventListener("click", () => choose(i));
      return item;
    }));
  }

  function legend() {
    byId("legend").replaceChildren(...view.legend.map((row) => {
      const button = document.createElement("button");
      button.type = "button";
      element("i", "", button).style.background = row.colour;
      button.append(row.count === undefined ? row.label : `${row.label} ${row.count.toLocaleString("en")}`);
      if (row.value !== undefined) {
        button.setAttribute("aria-pressed", String(!hidden.has(row.value)));
        button.addEventListener("click", () => {
          if (!hidden.delete(row.value)) hidden.add(row.value);
          legend();
          update();
        });
      }
      return button;
    }));
  }

  async function choose(i) {
    view.selected = i;
    view.draw();
    const card = data.cards[i], facts = byId("facts");
    byId("heading").textContent = card.title || "(no text)";
    facts.replaceChildren();
    byId("numbers").replaceChildren();
    const fact = (name, value, parent = facts) => {
      if (value === undefined || value === null || value === "") return;
      element("dt", name, parent);
      const held = element("dd", undefined, parent);
      if (/^https?:\/\//i.test(value)) {
        const link = element("a", value, held);
        link.href = value;
        link.rel = "noopener noreferrer";
        link.target = "_blank";
      } else held.textContent = value;
      const other = rowOf(data, value);
      if (other === undefined) return;
      const button = element("button", "Show", held);
      button.type = "button";
      button.addEventListener("click", () => choose(other));
    };
    for (const name of kindNames) fact(name, about.kinds[name][data.kinds[name][i]]);
    for (const verdict of card.verdicts || []) fact(card.shard ? "job" : "left at", verdict);
    fact("source", card.source);
    fact("url", card.url);
    for (const copy of card.copies || []) fact("left as its copy", copy);
    if (card.shard) fact("shard", `${card.shard}, line ${card.line + 1}`);
    for (const name of about.numbers) {
      if (!Number.isNaN(data.numbers[name][i])) fact(name, String(+data.numbers[name][i].toPrecision(6)), byId("numbers"));
    }
    byId("command").textContent = commandOf(data, i);
    byId("text").textContent = "…";
    byId("document").hidden = false;
    if (matchMedia(NARROW).matches) byId("document").scrollIntoView();
    list(byId("near"), nearest(data, i, 8).map(([cosine, j]) =>
      [j, `${about.kinds.slice[data.kinds.slice[j]]} ${cosine.toFixed(2)}`]));
    byId("document").parentElement.scrollTop = 0;
    let held;
    try { held = await textOf(data, i); } catch (error) { held = { text: `The text could not be had: ${error.message}` }; }
    if (view.selected !== i) return;
    byId("text").textContent = held ? held.text : `Texts lie beside this file. To read them: rpj explore ${about.root} --serve --export FOLDER, the one of this file`;
    if (held && held.meta) fact("meta", held.meta, byId("numbers"));
    document.body.dataset.document = i;
  }

  function close() {
    view.selected = -1;
    byId("document").hidden = true;
  }

  async function search() {
    const mine = ++asked;
    const result = await found(data, byId("search").value);
    if (mine !== asked) return;
    words = result;
    close();
    update();
  }

  function like() {
    const vector = vectorOf(byId("pasted").value, data.words);
    byId("likeness").textContent = vector ? "" : "No word of it is known to this map.";
    if (!vector) return;
    const cosines = cosinesWith(vector, data), fresh = !data.numbers[LIKENESS];
    data.numbers[LIKENESS] = cosines;
    data.axes[LIKENESS] = Uint16Array.from(cosines, (cosine) => (cosine + 1) / 2 * 65535);
    if (fresh) {
      for (const id of ["colour", "x", "y", "number"]) options(id, [[LIKENESS, LIKENESS]]);
    }
    for (const id of ["x", "y"]) view[id] = data.axes[byId(id).value];
    byId("colour").value = LIKENESS;
    hidden.clear();
    close();
    view.colourBy(LIKENESS);
    legend();
    update();
  }

  // The page as it was before a text was pasted.
  function forget() {
    byId("pasted").value = byId("likeness").textContent = "";
    if (!data.numbers[LIKENESS]) return;
    delete data.numbers[LIKENESS];
    if (byId("y").value === LIKENESS) byId("y").value = about.axes[1];
    for (const id of ["colour", "x", "y", "number"]) byId(id).querySelector(`[value=${LIKENESS}]`).remove();
    for (const id of ["x", "y"]) view[id] = data.axes[byId(id).value];
    view.colourBy(byId("colour").value);
  }

  for (const id of [...FILTERS, "number", "from", "to"]) byId(id).addEventListener("input", update);
  byId("like").addEventListener("click", like);
  byId("close").addEventListener("click", () => { close(); view.draw(); view.canvas.focus(); });
  let waiting = 0;
  byId("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 200); });
  byId("colour").addEventListener("input", (event) => { hidden.clear(); view.colourBy(event.target.value); legend(); update(); });
  for (const id of ["x", "y"]) {
    byId(id).addEventListener("input", (event) => { view[id] = data.axes[event.target.value]; view.lassoed = null; update(); });
  }
  byId("lasso").addEventListener("click", (event) => {
    view.lassoOn = !view.lassoOn;
    event.target.setAttribute("aria-pressed", String(view.lassoOn));
  });
  byId("reset").addEventListener("click", () => {
    for (const id of ["search", ...FILTERS, "from", "to"]) byId(id).value = "";
    hidden.clear();
    words = view.lassoed = null;
    close();
    forget();
    view.fit();
    legend();
    update();
  });
  byId("copy").addEventListener("click", () => {
    const range = document.createRange();
    range.selectNodeContents(byId("command"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (navigator.clipboard) navigator.clipboard.writeText(byId("command").textContent).catch(() => {});
  });
  legend();
  update();
  document.body.dataset.state = "ready";
}

start().catch((error) => {
  document.body.dataset.state = "failed";
  byId("count").textContent = `This page could not be unpacked: ${error.message}. Make it again, or take a newer browser.`;
  throw error;
});
