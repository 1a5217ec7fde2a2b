// The map: what is shown, in which colour, and what happens to a pointer on it.

// Okabe and Ito's colours, told apart with any kind of colour vision; what has no colour of its own is grey.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#7f6bc8"];
const GREY = "#8a8a8a";
const RAMP = ["#30123b", "#4669e1", "#1ac7c2", "#a2d93c", "#f5a833", "#c1300f"];
const LISTED = 200;
const LIKENESS = "likeness"; // to a pasted text: the cosine

// How a dropped document is drawn: wider than others, so that it is seen among them.
function cross(pen, x, y, size) {
  const arm = size + 1.5;
  pen.lineWidth = Math.max(1.5, size / 2.5);
  pen.strokeStyle = pen.fillStyle;
  pen.beginPath();
  pen.moveTo(x - arm, y - arm);
  pen.lineTo(x + arm, y + arm);
  pen.moveTo(x - arm, y + arm);
  pen.lineTo(x + arm, y - arm);
  pen.stroke();
}

class MapView {
  constructor(data, changed, chosen) {
    Object.assign(this, { data, changed, chosen });
    this.canvas = byId("map");
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.x = data.axes[data.about.axes[0]];
    this.y = data.axes[data.about.axes[1]];
    this.shown = new Uint8Array(data.n).fill(1);
    this.lassoed = null;
    this.drawing = null;
    this.selected = -1;
    this.lassoOn = false;
    this.colourBy("slice");
    this.fit();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.listen();
  }

  fit() { this.zoom = 1; this.dx = 0; this.dy = 0; }

  colourBy(name) {
    const { kinds, numbers, about, n } = this.data;
    this.by = name;
    this.group = new Uint8Array(n);
    if (kinds[name]) {
      const counts = new Map();
      for (const value of kinds[name]) counts.set(value, (counts.get(value) || 0) + 1);
      const order = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
      const rank = new Map(order.map(([value], place) => [value, Math.min(place, COLOURS.length)]));
      for (let i = 0; i < n; i++) this.group[i] = rank.get(kinds[name][i]);
      this.palette = [...COLOURS, GREY];
      this.legend = order.map(([value, count], place) => ({
        value, count, label: about.kinds[name][value] || "none", colour: COLOURS[place] || GREY }));
    } else {
      const column = numbers[name];
      const sorted = Float32Array.from(column.filter((value) => !Number.isNaN(value))).sort();
      const cuts = RAMP.map((_, k) => sorted[Math.floor((sorted.length - 1) * k / RAMP.length)]);
      for (let i = 0; i < n; i++) {
        let k = RAMP.length;
        if (!Number.isNaN(column[i])) for (k = 0; k + 1 < RAMP.length && column[i] >= cuts[k + 1];) k++;
        this.group[i] = k;
      }
      this.palette = [...RAMP, GREY];
      this.legend = RAMP.map((colour, k) => ({ label: `from ${+Number(cuts[k]).toPrecision(3)}`, colour }));
      if (sorted.length < n) this.legend.push({ label: "without", colour: GREY });
    }
  }

  scale() {
    const { width, height } = this.canvas;
    const side = Math.min(width, height) * 0.94 * this.zoom;
    return { k: side / 65535, ox: width / 2 - side / 2 + this.dx, oy: height / 2 - side / 2 + this.dy };
  }

  draw() {
    const box = this.canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(box.width * ratio));
    this.canvas.height = Math.max(1, Math.round(box.height * ratio));
    const { pen, x, y, group, shown } = this, { width, height } = this.canvas;
    const { k, ox, oy } = this.scale();
    const size = Math.max(1.5, Math.min(7, 180 / Math.sqrt(this.data.n) * Math.sqrt(this.zoom))) * ratio;
    const left = this.data.kinds.layer, dropped = this.data.about.kinds.layer.indexOf("dropped");
    pen.clearRect(0, 0, width, height);
    pen.globalAlpha = this.data.n > 20000 ? 0.6 : 0.8;
    for (let g = 0; g < this.palette.length; g++) {
      pen.fillStyle = this.palette[g];
      for (let i = 0; i < this.data.n; i++) {
        if (group[i] !== g || !shown[i]) continue;
        const px = ox + x[i] * k, py = oy + (65535 - y[i]) * k;
        if (px > -size && py > -size && px < width + size && py < height + size) {
          if (left && left[i] === dropped) cross(pen, px, py, size);
          else pen.fillRect(px - size / 2, py - size / 2, size, size);
        }
      }
    }
    pen.globalAlpha = 1;
    this.drawLabels(ratio);
    if (this.selected >= 0) {
      pen.strokeStyle = getComputedStyle(document.body).color;
      pen.lineWidth = 2 * ratio;
      pen.beginPath();
      pen.arc(ox + x[this.selected] * k, oy + (65535 - y[this.selected]) * k, size + 4 * ratio, 0, 7);
      pen.stroke();
    }
    if (this.drawing) {
      pen.strokeStyle = getComputedStyle(document.body).color;
      pen.setLineDash([4, 4]);
      pen.beginPath();
      for (const [px, py] of this.drawing) pen.lineTo(px, py);
      pen.stroke();
      pen.setLineDash([]);
    }
  }

  drawLabels(ratio) {
    const { about, axes } = this.data;
    if (this.x !== axes[about.axes[0]] || this.y !== axes[about.axes[1]]) return;
    const { k, ox, oy } = this.scale(), style = getComputedStyle(document.body);
    const taken = [];
    this.pen.font = `${12 * ratio}px system-ui, sans-serif`;
    this.pen.textAlign = "center";
    this.pen.lineWidth = 3 * ratio;
    this.pen.lineJoin = "round";
    about.clusters.forEach(({ x, y, words }) => {
      const label = words.slice(0, 3).join(" "), wide = this.pen.measureText(label).width / 2;
      const px = ox + x * k, py = oy + (65535 - y) * k;
      if (taken.some(([a, b, w]) => Math.abs(a - px) < w + wide && Math.abs(b - py) < 15 * ratio)) return;
      taken.push([px, py, wide]);
      this.pen.strokeStyle = style.backgroundColor;
      this.pen.strokeText(label, px, py);
      this.pen.fillStyle = style.color;
      this.pen.fillText(label, px, py);
    });
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect(), ratio = this.canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  // The nearest document to a place, so many pixels away at most; -1: there is none.
  pick([px, py], within = 12) {
    const { k, ox, oy } = this.scale();
    let best = -1, least = (within * (devicePixelRatio || 1)) ** 2;
    for (let i = 0; i < this.data.n; i++) {
      if (!this.shown[i]) continue;
      const far = (ox + this.x[i] * k - px) ** 2 + (oy + (65535 - this.y[i]) * k - py) ** 2;
      if (far < least) { least = far; best = i; }
    }
    return best;
  }

  // Two fingers: as far apart as they are now to what they were.
  pinch(held, id, [px, py]) {
    const [, [ox, oy]] = [...held].find(([key]) => key !== id), [bx, by] = held.get(id);
    const before = Math.hypot(bx - ox, by - oy);
    held.set(id, [px, py]);
    if (before) this.zoomAt([(px + ox) / 2, (py + oy) / 2], Math.hypot(px - ox, py - oy) / before);
  }

  // Choose the document that is nearest to the middle of the map.
  middle() {
    const i = this.pick([this.canvas.width / 2, this.canvas.height / 2], Infinity);
    if (i >= 0) this.chosen(i);
  }

  zoomAt([px, py], factor) {
    const zoom = Math.min(400, Math.max(0.5, this.zoom * factor));
    const { width, height } = this.canvas, by = zoom / this.zoom;
    this.dx = px - width / 2 - (px - width / 2 - this.dx) * by;
    this.dy = py - height / 2 - (py - height / 2 - this.dy) * by;
    this.zoom = zoom;
    this.draw();
  }

  // The documents inside a closed line, by the crossings of a ray.
  inside(line) {
    const { k, ox, oy } = this.scale(), mask = new Uint8Array(this.data.n);
    for (let i = 0; i < this.data.n; i++) {
      const px = ox + this.x[i] * k, py = oy + (65535 - this.y[i]) * k;
      for (let a = 0, b = line.length - 1; a < line.length; b = a++) {
        const [ax, ay] = line[a], [bx, by] = line[b];
        if ((ay > py) !== (by > py) && px < (bx - ax) * (py - ay) / (by - ay) + ax) mask[i] ^= 1;
      }
    }
    return mask;
  }

  listen() {
    const canvas = this.canvas, tip = byId("tip");
    const held = new Map(); // the fingers on it, or the button of a mouse
    let last = null, moved = false;
    const letGo = (event) => { held.delete(event.pointerId); last = this.drawing = null; };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = this.at(event);
      held.set(event.pointerId, last);
      moved = false;
      if (held.size > 1) { last = this.drawing = null; return; }
      if (event.shiftKey || this.lassoOn) this.drawing = [last];
    });
    canvas.addEventListener("pointermove", (event) => {
      const here = this.at(event);
      if (held.size > 1) {
        this.pinch(held, event.pointerId, here);
      } else if (this.drawing) {
        this.drawing.push(here);
        this.draw();
      } else if (last) {
        moved = moved || Math.hypot(here[0] - last[0], here[1] - last[1]) > 3;
        if (!moved) return;
        this.dx += here[0] - last[0];
        this.dy += here[1] - last[1];
        last = here;
        this.draw();
      } else {
        const i = this.pick(here), box = canvas.getBoundingClientRect();
        tip.hidden = i < 0;
        if (i >= 0) {
          tip.textContent = this.data.cards[i].title;
          tip.style.left = `${Math.min(event.clientX - box.left + 12, Math.max(0, box.width - 330))}px`;
          tip.style.top = `${event.clientY - box.top + 14}px`;
        }
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      if (this.drawing) {
        this.lassoed = this.drawing.length > 2 ? this.inside(this.drawing) : null;
        this.drawing = null;
        this.changed();
      } else if (!moved && last) {
        const i = this.pick(this.at(event));
        if (i >= 0) this.chosen(i);
      }
      letGo(event);
    });
    canvas.addEventListener("pointercancel", letGo);
    canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomAt(this.at(event), Math.exp(-event.deltaY / 400));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
      if (step) { this.dx += step[0]; this.dy += step[1]; this.draw(); event.preventDefault(); }
      const by = { "+": 1.3, "=": 1.3, "-": 1 / 1.3 }[event.key];
      if (event.key === "Enter") this.middle();
      if (by) this.zoomAt([canvas.width / 2, canvas.height / 2], by);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }
}
