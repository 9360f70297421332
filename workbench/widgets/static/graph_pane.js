// One picture: pan, zoom, hit-testing, and a DOM that holds only the bands in view. (Hiding what
// is out of view by CSS keeps its layout objects in Chromium; taking it out frees them.)

const BAND = 400;
const MOST_BOXES = 1200; // more than this in view are drawn on a canvas, without text
const KIND_WORDS = ["node", "engine", "block", "input", "output"];

class GraphPane {
  constructor(view, side, label) {
    this.view = view;
    this.side = side;
    this.label = label;
    this.scene = null;
    this.at = { x: 0, y: 0, k: 1 };
    this.bands = new Map();
    this.marks = [];
    this.hits = null;
    this.near = null;
    this.current = -1;
    this.toggled = -1;
    this.id = `wbg${++graphViews}`;
    this.build();
  }

  build() {
    this.root = put(null, "section", { class: `pane ${this.side}` });
    const head = put(this.root, "header", {});
    put(head, "h3", {}, this.label);
    this.note = put(head, "span", { class: "note" });
    const tools = put(head, "span", { class: "tools", role: "toolbar", "aria-label": this.label });
    const button = (text, title, act) => {
      const one = put(tools, "button", { type: "button", title, "aria-label": title }, text);
      one.addEventListener("click", act);
      return one;
    };
    button("−", "Zoom out (-)", () => this.zoom(1 / 1.3));
    button("+", "Zoom in (+)", () => this.zoom(1.3));
    button("Fit", "Show the whole graph (0)", () => this.whole());
    this.body = put(this.root, "div", { class: "stage" });
    this.canvas = put(this.body, "canvas", { "aria-hidden": "true" });
    this.svg = draw(this.body, "svg", {
      tabindex: "0", role: "listbox", "aria-label": `${this.label}: graph`,
      "aria-multiselectable": "true", focusable: "true",
    });
    const marker = draw(draw(this.svg, "defs"), "marker", {
      id: `${this.id}-head`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7,
      markerHeight: 7, orient: "auto", markerUnits: "userSpaceOnUse",
    });
    draw(marker, "path", { d: "M0 0.6L8 4L0 7.4z", class: "head" });
    this.world = draw(this.svg, "g");
    this.layers = ["rim", "region", "edges", "boxes"].map((name) =>
      draw(this.world, "g", { class: name, role: "presentation" }));
    this.map = put(this.body, "canvas", { class: "map", "aria-hidden": "true" });
    this.window = put(this.body, "div", { class: "window", "aria-hidden": "true" });
    this.listen();
  }

  // --- content ---------------------------------------------------------------------------------

  show(scene, keep) {
    const anchor = keep ? this.anchor() : null;
    this.scene = scene;
    this.index();
    this.current = -1;
    this.near = null;
    if (anchor) this.restore(anchor);
    else if (!this.fitted) this.fit();
  }

  // Where the eye is: the box that was opened or closed, else the one nearest to the middle; by the
  // original it starts with.
  anchor() {
    const s = this.scene;
    if (!s || !s.x.length) return null;
    if (this.toggled >= 0) {
      const at = { origin: listOf(s.of[this.toggled])[0], dy: s.y[this.toggled] - this.at.y,
        dx: s.x[this.toggled] + s.w[this.toggled] / 2 - this.at.x };
      this.toggled = -1;
      if (at.origin !== undefined) return at;
    }
    const middle = this.at.y + this.height() / 2 / this.at.k;
    let best = -1, least = Infinity;
    for (let i = 0; i < s.y.length; i++) {
      const away = Math.abs(s.y[i] + s.h[i] / 2 - middle);
      if (listOf(s.of[i]).length && away < least) [best, least] = [i, away];
    }
    if (best < 0) return null;
    const origins = listOf(s.of[best]);
    return { origin: origins[0], dy: s.y[best] - this.at.y, dx: s.x[best] + s.w[best] / 2 - this.at.x };
  }

  restore(anchor) {
    const s = this.scene;
    const found = s.of.findIndex((of) => listOf(of).includes(anchor.origin));
    if (found < 0) return;
    this.at.y = s.y[found] - anchor.dy;
    this.at.x = s.x[found] + s.w[found] / 2 - anchor.dx;
    this.hold();
  }

  index() {
    const s = this.scene, count = Math.max(1, Math.ceil(s.height / BAND));
    const empty = () => Array.from({ length: count }, () => []);
    this.inBand = empty();
    this.edgesIn = empty();
    this.longEdges = [];
    const band = (y) => clamp(Math.floor(y / BAND), 0, count - 1);
    for (let i = 0; i < s.x.length; i++) this.inBand[band(s.y[i])].push(i);
    for (let e = 0; e < s.a.length; e++) {
      const from = band(s.y[s.a[e]]), to = band(s.y[s.b[e]]);
      if (Math.abs(to - from) > 2) this.longEdges.push(e);
      else this.edgesIn[Math.min(from, to)].push(e);
    }
    this.fitted = this.fitted && this.width() > 0;
  }

  repaint() {
    if (!this.scene) return;
    // While JupyterLab changes its theme nothing has a size for a moment, and no observer says when
    // that is over; a pane that is hidden for longer hears of it by its size.
    this.stale = this.height() <= 0;
    if (this.stale) {
      requestAnimationFrame(() => requestAnimationFrame(() => this.height() > 0 && this.repaint()));
      return;
    }
    for (const parts of this.bands.values()) parts.forEach((part) => part.remove());
    this.bands.clear();
    this.update();
    this.drawMap();
  }

  // --- view ------------------------------------------------------------------------------------

  width() { return this.body.clientWidth - 46; }
  height() { return this.body.clientHeight; }

  // Of a large graph its beginning, large enough to read.
  fit() {
    const s = this.scene;
    if (!s || this.width() <= 0) return;
    const wide = this.width() / (s.width + 50);
    const whole = this.scaleOfAll();
    this.at.k = whole > 0.62 ? Math.min(whole, 1.15) : clamp(wide, wide > 0.58 ? 0.58 : 0.72, 1.1);
    const first = s.x.length ? s.x[0] + s.w[0] / 2 : s.width / 2;
    const center = s.width * this.at.k > this.width() ? first : s.width / 2;
    this.at.x = center - this.width() / 2 / this.at.k;
    this.at.y = whole > 0.62 ? s.height / 2 - this.height() / 2 / this.at.k : -14;
    this.fitted = true;
    this.update();
  }

  // However small its boxes get.
  whole() {
    const s = this.scene;
    if (!s || this.width() <= 0) return;
    this.at.k = Math.min(this.scaleOfAll(), 1.15);
    this.at.x = (s.width - this.width() / this.at.k) / 2;
    this.at.y = (s.height - this.height() / this.at.k) / 2;
    this.update();
  }

  scaleOfAll() {
    return Math.min(this.width() / (this.scene.width + 50), this.height() / (this.scene.height + 30));
  }

  zoom(by, at) {
    const [px, py] = at || [this.width() / 2, this.height() / 2];
    const least = Math.min(0.3, this.scaleOfAll());
    const k = clamp(this.at.k * by, least, 4);
    this.at.x += px / this.at.k - px / k;
    this.at.y += py / this.at.k - py / k;
    this.at.k = k;
    this.hold();
    this.update();
  }

  pan(dx, dy) {
    this.at.x += dx / this.at.k;
    this.at.y += dy / this.at.k;
    this.hold();
    this.update();
  }

  // Keeps a part of the graph in view.
  hold() {
    const s = this.scene, w = this.width() / this.at.k, h = this.height() / this.at.k;
    this.at.x = clamp(this.at.x, Math.min(-0.6 * w, s.width - w), Math.max(s.width - 0.4 * w, 0));
    this.at.y = clamp(this.at.y, Math.min(-40, (s.height - h) / 2), Math.max(s.height - h + 40, -14));
  }

  seesMarks() {
    const s = this.scene, { x, y, k } = this.at, h = this.height() / k, w = this.width() / k;
    return this.marks.some((mark, i) => mark && s.y[i] + s.h[i] > y + 10 && s.y[i] < y + h - 20 &&
      s.x[i] + s.w[i] > x && s.x[i] < x + w);
  }

  center(item, always) {
    const s = this.scene, k = this.at.k, x = s.x[item], y = s.y[item];
    const inside = x > this.at.x && x + s.w[item] < this.at.x + this.width() / k &&
      y > this.at.y && y + s.h[item] < this.at.y + this.height() / k;
    if (inside && !always) return;
    if (this.at.k < 0.5) this.at.k = 0.8;
    this.at.x = x + s.w[item] / 2 - this.width() / 2 / this.at.k;
    this.at.y = y + s.h[item] / 2 - this.height() / 2 / this.at.k;
    this.hold();
    this.update();
  }

  update() {
    const s = this.scene;
    if (!s || this.height() <= 0) return;
    const { x, y, k } = this.at, last = this.inBand.length - 1;
    const from = clamp(Math.floor((y - 120) / BAND), 0, last);
    const to = clamp(Math.floor((y + this.height() / k + 40) / BAND), 0, last);
    let boxes = 0;
    for (let band = from; band <= to; band++) boxes += this.inBand[band].length;
    const coarse = boxes > MOST_BOXES;
    this.svg.classList.toggle("coarse", coarse);
    this.world.setAttribute("transform", `scale(${k}) translate(${-x} ${-y})`);
    if (coarse) this.drawFar(from, to);
    else this.canvas.width = 0;
    for (const [band, parts] of this.bands) {
      if (coarse || band < from - 1 || band > to) {
        parts.forEach((part) => part.remove());
        this.bands.delete(band);
      }
    }
    if (!coarse) {
      for (let band = Math.max(0, from - 2); band <= to; band++) {
        if (!this.bands.has(band)) this.drawBand(band);
      }
      this.drawLong(from, to);
    }
    this.drawWindow();
    this.svg.dataset.bands = this.bands.size;
  }

  // --- drawing ---------------------------------------------------------------------------------

  paint() { return this.view.paint.panes[this.side]; }
  paintClass(item) { return `c-${this.view.paint.classes[this.paint().c[item]]}`; }
  engineClass(engine) { return `c-e${this.view.paint.engines[engine]}`; }

  drawBand(band) {
    const parts = this.layers.map((layer) => draw(layer, "g", { role: "presentation" }));
    this.bands.set(band, parts);
    for (const e of this.edgesIn[band]) this.drawEdge(e, parts);
    for (const i of this.inBand[band]) this.drawItem(i, parts);
  }

  drawLong(from, to) {
    const known = this.bands.get(-9);
    if (known) known.forEach((part) => part.remove());
    this.bands.delete(-9);
    const s = this.scene, top = from * BAND, low = (to + 1) * BAND;
    const seen = this.longEdges.filter((e) => s.y[s.a[e]] <= low && s.y[s.b[e]] >= top);
    if (!seen.length) return;
    const parts = this.layers.map((layer) => draw(layer, "g", { role: "presentation" }));
    for (const e of seen) this.drawEdge(e, parts);
    this.bands.set(-9, parts);
  }

  drawEdge(e, [rim, region, edges]) {
    const s = this.scene, a = s.a[e], b = s.b[e], r = this.paint().r;
    if (r[a] >= 0 && r[a] === r[b] && s.kind[a] !== 1) {
      const engine = this.engineClass(r[a]);
      draw(rim, "path", { d: s.d[e], class: `way ${engine}` });
      draw(region, "path", { d: s.d[e], class: `way ${engine}` });
    }
    const lit = this.marks[a] === 2 || this.marks[b] === 2;
    const dim = this.near && !(this.near.has(a) && this.near.has(b));
    draw(edges, "path", {
      d: s.d[e], class: `edge${lit ? " lit" : ""}${dim ? " dim" : ""}`,
      "marker-end": `url(#${this.id}-head)`,
    });
  }

  drawItem(i, [rim, region, , boxes]) {
    const s = this.scene, paint = this.paint(), r = paint.r[i];
    const x = s.x[i], y = s.y[i], w = s.w[i], h = s.h[i], kind = s.kind[i];
    if (r >= 0 && kind !== 1) {
      const engine = this.engineClass(r);
      draw(rim, "rect", { x: x - 7.5, y: y - 7.5, width: w + 15, height: h + 15, rx: 10, class: engine });
      draw(region, "rect", { x: x - 6, y: y - 6, width: w + 12, height: h + 12, rx: 9, class: engine });
    }
    const one = draw(boxes, "g", {
      id: `${this.id}-${i}`, "data-item": i, role: "option", transform: `translate(${x} ${y})`,
      "aria-label": this.words(i),
    });
    this.outline(one, kind, w, h);
    this.texts(one, i, w, h);
    this.dress(one, i);
  }

  outline(one, kind, w, h) {
    const rx = kind > 2 ? h / 2 : kind === 0 ? 5 : 8;
    draw(one, "rect", { class: "halo", x: -4, y: -4, width: w + 8, height: h + 8, rx: rx + 4 });
    draw(one, "rect", { class: "halo in", x: -4, y: -4, width: w + 8, height: h + 8, rx: rx + 4 });
    if (kind === 2) draw(one, "rect", { class: "box under", x: 4, y: 4, width: w, height: h, rx });
    draw(one, "rect", { class: "box", width: w, height: h, rx });
    if (kind === 1) draw(one, "rect", { class: "inner", x: 3, y: 3, width: w - 6, height: h - 6, rx: rx - 3 });
  }

  texts(one, i, w, h) {
    const s = this.scene, kind = s.kind[i], lines = 1 + (s.line[i] ? 1 : 0) + (s.note[i] ? 1 : 0);
    let y = h / 2 - (lines - 1) * 7 + 4;
    draw(one, "text", { x: w / 2, y, class: "title" }, s.title[i]);
    for (const [name, text] of [["line", s.line[i]], ["note", s.note[i]]]) {
      if (text) draw(one, "text", { x: w / 2, y: (y += 14), class: name }, text);
    }
    if (kind === 1 || kind === 2) draw(one, "text", { x: 11, y: 16, class: "sign" }, "+");
    const badge = this.paint().b[i];
    if (!badge) return;
    const wide = 8 + badge.length * 6.2;
    draw(one, "rect", { class: "badge", x: w - wide + 7, y: -12, width: wide, height: 15, rx: 7 });
    draw(one, "text", { class: "tag", x: w - wide / 2 + 7, y: -1 }, badge);
  }

  dress(one, i) {
    const kind = KIND_WORDS[this.scene.kind[i]], mark = this.marks[i] || 0;
    let names = `n ${kind} ${this.paintClass(i)}`;
    if (mark) names += mark === 2 ? " marked" : " partly";
    if (i === this.current) names += " current";
    if (this.hits && this.hits.has(i)) names += " hit";
    if (this.near && !this.near.has(i)) names += " dim";
    one.setAttribute("class", names);
    one.setAttribute("aria-selected", mark ? "true" : "false");
  }

  words(i) {
    const s = this.scene, region = this.paint().r[i];
    const place = region >= 0 && s.kind[i] !== 1 ? `, in engine ${region}` :
      s.kind[i] === 0 && this.view.paint.engines.length ? ", native" : "";
    const more = s.kind[i] === 1 || s.kind[i] === 2 ? ", closed, Enter opens it" : "";
    return `${KIND_WORDS[s.kind[i]]} ${s.title[i]}, ${s.name[i] || s.line[i]}${place}${more}`;
  }

  restyle() {
    for (const one of this.layers[3].querySelectorAll("g.n")) this.dress(one, +one.dataset.item);
    const current = document.getElementById(`${this.id}-${this.current}`);
    if (current) this.svg.setAttribute("aria-activedescendant", current.id);
    else this.svg.removeAttribute("aria-activedescendant");
  }

  drawFar(from, to) {
    const s = this.scene, ratio = devicePixelRatio || 1, { x, y, k } = this.at;
    this.canvas.width = this.body.clientWidth * ratio;
    this.canvas.height = this.height() * ratio;
    const brush = this.canvas.getContext("2d");
    brush.scale(ratio * k, ratio * k);
    brush.translate(-x, -y);
    for (let band = from; band <= to; band++) {
      for (const i of this.inBand[band]) {
        brush.fillStyle = this.fillOf(i);
        brush.fillRect(s.x[i], s.y[i], s.w[i], s.h[i]);
      }
    }
  }

  fillOf(i) {
    if (this.marks[i]) return this.view.color("mark");
    if (this.hits && this.hits.has(i)) return this.view.color("hit");
    const name = this.paintClass(i);
    return this.view.color(name, this.scene.kind[i] === 0 && name === "c-native" ? "--line" : "--fill");
  }

  // --- minimap ---------------------------------------------------------------------------------

  drawMap() {
    const s = this.scene, ratio = devicePixelRatio || 1, high = this.height();
    if (!s || high <= 0) return;
    this.map.width = 40 * ratio;
    this.map.height = high * ratio;
    const brush = this.map.getContext("2d");
    brush.scale(ratio, ratio);
    const sx = 36 / Math.max(s.width, 1), sy = this.mapScale();
    for (let i = 0; i < s.x.length; i++) {
      brush.fillStyle = this.fillOf(i);
      brush.fillRect(2 + s.x[i] * sx, s.y[i] * sy, Math.max(3, s.w[i] * sx), Math.max(1, s.h[i] * sy));
    }
    this.drawWindow();
  }

  mapScale() { return Math.min(this.height() / Math.max(this.scene.height, 1), 36 / Math.max(this.scene.width, 1) * 1.5); }

  drawWindow() {
    const sy = this.mapScale(), top = clamp(this.at.y * sy, 0, this.height() - 6);
    const end = clamp((this.at.y + this.height() / this.at.k) * sy, top + 6, this.height());
    this.window.style.transform = `translateY(${top}px)`;
    this.window.style.height = `${end - top}px`;
  }
}
