// The view: toolbar, two panes, panel, legend. Python owns meaning (names, reasons, classes), this
// owns what is looked at; it goes on working without a kernel, with less to say about a box.

class GraphViewer {
  constructor(model, el) {
    this.model = model;
    this.marked = new Set();
    this.details = new Map();
    this.texts = new Map();
    this.colors = new Map();
    this.picked = null;
    this.found = [];
    this.root = put(el, "div", { class: "wbg" });
    this.root.style.setProperty("--high", `${model.get("height")}px`);
    this.toolbar();
    const main = put(this.root, "div", { class: "main" });
    this.panes = {
      left: new GraphPane(this, "left", "Original"), right: new GraphPane(this, "right", "Fused"),
    };
    main.append(this.panes.left.root, this.panes.right.root);
    this.panel = new GraphPanel(this);
    main.append(this.panel.root);
    this.legend = new GraphLegend(this);
    this.root.append(this.legend.root);
    this.status = put(this.root, "div", { class: "status", role: "status", "aria-live": "polite" });
    this.alert = put(this.root, "div", { class: "alert", role: "alert", hidden: "" });
    this.tip = put(this.root, "div", { class: "tip", role: "tooltip", hidden: "" });
    this.work = put(this.root, "div", { class: "work", hidden: "" });
    this.theme();
    this.connect();
    this.redraw();
  }

  toolbar() {
    const bar = put(this.root, "div", { class: "bar", role: "toolbar", "aria-label": "Graph view" });
    const choice = (label) => put(put(bar, "label", {}, `${label} `), "select", {});
    this.overlay = choice("Colour by");
    this.overlay.addEventListener("change", () => this.setOverlay(this.overlay.value));
    this.shows = choice("Show");
    for (const [value, text] of [["both", "Both graphs"], ["left", "Original"], ["right", "Fused"]]) {
      put(this.shows, "option", { value }, text);
    }
    this.shows.addEventListener("change", () => {
      this.root.dataset.shows = this.shows.value;
    });
    this.search = put(bar, "input", {
      type: "search", placeholder: "Search names, operators (/)", "aria-label": "Search",
      spellcheck: "false",
    });
    this.search.addEventListener("input", () => this.find(this.search.value));
    this.search.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") this.next(event.shiftKey ? -1 : 1);
      if (event.key === "Escape") this.clear();
    });
    this.count = put(bar, "span", { class: "count", "aria-live": "polite" });
    this.folding = ["left", "right"].map((side) => {
      const one = put(bar, "button", { type: "button", class: "fold" }, "");
      one.addEventListener("click", () => this.foldAll(side));
      return one;
    });
    const help = put(bar, "details", { class: "help" });
    put(help, "summary", {}, "Keys");
    put(help, "p", {},
      "Arrows walk along the edges, Enter opens or closes, Space selects (with Shift: adds), " +
      "f neighbourhood, + - zoom, 0 shows the whole graph, / search, n N next match, Esc clears. " +
      "Wheel pans the pane with focus, Ctrl+wheel zooms.");
  }

  connect() {
    const model = this.model;
    this.listeners = [
      ["change:_rev", () => this.redraw()], ["change:_marked", () => this.remark()],
      ["change:_busy", () => this.busy()], ["change:_notice", () => this.notice()],
      ["change:theme", () => this.theme()],
      ["msg:custom", (message) => this.hear(message)],
    ];
    for (const [name, act] of this.listeners) model.on(name, act);
    this.watcher = new MutationObserver(() => this.theme());
    this.watcher.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light"] });
    this.sizes = new ResizeObserver(() => this.resized());
    for (const pane of Object.values(this.panes)) this.sizes.observe(pane.body);
    const twin = model.get("_twin");
    if (twin) this.hideTwin(twin);
    this.busy();
  }

  close() {
    for (const [name, act] of this.listeners) this.model.off(name, act);
    this.watcher.disconnect();
    this.sizes.disconnect();
    if (this.rule) this.rule.remove();
  }

  // The picture that the saved notebook keeps beside the widget is not shown twice.
  hideTwin(name) {
    this.rule = put(document.head, "style", {}, `.${CSS.escape(name)}{display:none}`);
  }

  resized() {
    for (const pane of Object.values(this.panes)) {
      if (!pane.scene || pane.height() <= 0) continue;
      if (!pane.fitted) pane.fit();
      if (pane.stale) pane.repaint();
      pane.update();
      pane.drawMap();
    }
  }

  theme() {
    const wish = this.model.get("theme");
    const dark = wish === "dark" || (wish !== "light" && pageIsDark());
    this.root.dataset.theme = dark ? "dark" : "light";
    this.colors.clear();
    if (this.paint) for (const pane of Object.values(this.panes)) pane.repaint();
  }

  // A colour of the palette for a canvas, which knows no style sheet.
  color(name, variable) {
    const key = `${name} ${variable}`;
    if (!this.colors.has(key)) {
      const probe = put(this.root, "i", { class: name });
      this.colors.set(key, variable ? getComputedStyle(probe).getPropertyValue(variable).trim() :
        getComputedStyle(this.root).getPropertyValue(`--${name}`).trim());
      probe.remove();
    }
    return this.colors.get(key);
  }

  // --- content ---------------------------------------------------------------------------------

  // A large trait comes as one text of JSON; it is read once.
  unpacked(name) {
    const sent = this.model.get(name);
    if (typeof sent !== "string") return sent;
    const known = this.texts.get(name);
    if (known && known.sent === sent) return known.value;
    const value = JSON.parse(sent);
    this.texts.set(name, { sent, value });
    return value;
  }

  redraw() {
    const started = performance.now(), model = this.model;
    const paint = this.unpacked("_paint");
    if (!paint || !paint.panes) return;
    this.hover(null, -1);
    this.paint = paint;
    this.names = this.unpacked("_names");
    // What a box is (its verdict, its neighbours) may change where its picture does not.
    this.details.clear();
    for (const [side, pane] of Object.entries(this.panes)) {
      const scene = this.unpacked(`_${side}`);
      if (pane.scene && pane.scene.rev === scene.rev) continue;
      const before = pane.scene;
      pane.show(scene, true);
      if (this.picked && this.picked.pane === pane) {
        pane.current = counterpart(before, this.picked.item, scene);
        this.picked = pane.current < 0 ? null : { pane, item: pane.current };
      }
      const boxes = scene.x.length, nodes = scene.count;
      const ends = scene.kind.filter((kind) => kind > 2).length;
      const number = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
      const all = number(nodes, side === "right" && paint.layers ? "layer" : "node");
      pane.note.textContent = boxes - ends < nodes ? `${all}, drawn as ${(boxes - ends).toLocaleString("en")}` : all;
    }
    this.onePicture(!paint.layers && !paint.choices.some(([name]) => name === "reason"));
    this.root.classList.toggle("divided", paint.engines.length > 0);
    this.menus();
    this.legend.show(paint);
    this.status.textContent = paint.summary;
    this.remark(true);
    if (this.search.value) this.match(this.search.value);
    for (const pane of Object.values(this.panes)) pane.repaint(), pane.restyle();
    this.tell();
    this.root.dataset.rev = model.get("_rev");
    this.root.dataset.ms = Math.round(performance.now() - started);
    model.set("rendered", model.get("_rev"));
    model.save_changes();
  }

  // The panel about what is picked.
  tell() {
    if (!this.picked) return this.panel.empty();
    const { pane, item } = this.picked;
    this.panel.show(pane, item, this.ask(pane, item));
  }

  // Of a network that nothing was made of there is only the original to see.
  onePicture(alone) {
    if (alone === this.alone) return;
    this.alone = alone;
    this.shows.value = this.root.dataset.shows = alone ? "left" : "both";
  }

  menus() {
    const paint = this.paint;
    this.overlay.replaceChildren();
    for (const [value, text] of paint.choices) put(this.overlay, "option", { value }, text);
    this.overlay.value = paint.overlay;
    const words = { left: "blocks", right: "engines" };
    ["left", "right"].forEach((side, i) => {
      const scene = this.panes[side].scene, closed = scene.kind.some((k) => k === (side === "left" ? 2 : 1));
      this.folding[i].textContent = `${closed ? "Open" : "Close"} all ${words[side]}`;
      this.folding[i].hidden = !closed && !scene.open.some((o) => o);
    });
  }

  busy() {
    const text = this.model.get("_busy");
    this.work.replaceChildren();
    this.work.hidden = !text;
    if (!text) return;
    put(this.work, "span", {}, text);
    put(this.work, "button", { type: "button" }, "Cancel")
      .addEventListener("click", () => this.model.send({ do: "cancel" }));
  }

  notice() {
    this.alert.textContent = this.model.get("_notice");
    this.alert.hidden = !this.alert.textContent;
  }

  hear(message) {
    if (message.do === "center") this.showOrigin(message.origin);
    if (message.do !== "details") return;
    const pane = this.panes[message.side];
    if (message.rev !== pane.scene.rev) return;
    this.details.set(`${message.side} ${message.item}`, message.data);
    if (this.picked && this.picked.pane === pane && this.picked.item === message.item) {
      this.panel.show(pane, message.item, message.data);
    }
    if (this.hovered && this.hovered.pane === pane && this.hovered.item === message.item) this.showTip();
  }

  ask(pane, item) {
    const key = `${pane.side} ${item}`, known = this.details.get(key);
    if (known) return known;
    const kept = this.model.get("_details");
    if (kept && kept[pane.side]) return kept[pane.side][item];
    this.model.send({ do: "details", side: pane.side, item, rev: pane.scene.rev });
    return null;
  }

  setOverlay(name) {
    this.model.set("overlay", name);
    this.model.save_changes();
  }

  toggle(pane, item) {
    pane.toggled = item;
    this.model.send({ do: "toggle", side: pane.side, item, rev: pane.scene.rev });
  }

  foldAll(side) {
    const closed = this.panes[side].scene.kind.some((k) => k === (side === "left" ? 2 : 1));
    this.model.send({ do: "fold", side, open: closed, rev: this.panes[side].scene.rev });
  }

  // --- selection -------------------------------------------------------------------------------

  pick(pane, item, more) {
    if (item < 0) return this.clear();
    const origins = listOf(pane.scene.of[item]);
    if (more) {
      const all = origins.every((o) => this.marked.has(o));
      for (const o of origins) all ? this.marked.delete(o) : this.marked.add(o);
    } else this.marked = new Set(origins);
    for (const other of Object.values(this.panes)) other.current = -1;
    pane.current = item;
    this.picked = { pane, item };
    this.applyMarks(pane);
    this.tell();
    this.model.send({ do: "select", origins: [...this.marked], side: pane.side, item });
  }

  applyMarks(source) {
    for (const pane of Object.values(this.panes)) {
      pane.marks = marksOf(pane.scene.of, this.marked);
      if (pane === source || !this.marked.size) continue;
      let best = pane.marks.indexOf(2);
      if (best < 0) best = pane.marks.indexOf(1);
      const seen = pane.layers[3].querySelectorAll(".never");
      if (best >= 0 && !seen.length && !pane.seesMarks()) pane.center(best);
    }
    for (const pane of Object.values(this.panes)) pane.repaint(), pane.restyle();
    this.root.dataset.marked = this.marked.size;
  }

  remark(quiet) {
    const marked = this.model.get("_marked");
    // What this page chose itself comes back from Python; it is drawn already.
    if (!quiet && marked.length === this.marked.size && marked.every((o) => this.marked.has(o))) return;
    this.marked = new Set(marked);
    for (const pane of Object.values(this.panes)) pane.marks = marksOf(pane.scene.of, this.marked);
    if (!quiet) this.applyMarks(this.picked ? this.picked.pane : null);
  }

  clear() {
    this.marked.clear();
    this.picked = null;
    this.search.value = "";
    this.match("");
    for (const pane of Object.values(this.panes)) {
      pane.current = -1;
      pane.near = null;
    }
    this.panel.empty();
    this.applyMarks(null);
    this.model.send({ do: "select", origins: [], side: "", item: -1 });
  }

  showOrigin(origin) {
    const pane = this.panes.left;
    const item = pane.scene.of.findIndex((of) => listOf(of).includes(origin));
    if (item >= 0) pane.step(item);
  }

  focusNear(pane) {
    const start = pane.current >= 0 ? [pane.current] : [];
    pane.near = pane.near || !start.length ? null : neighbours(pane.scene, start, 2);
    pane.repaint();
  }

  // --- search ----------------------------------------------------------------------------------

  find(text) {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      this.match(text);
      for (const pane of Object.values(this.panes)) pane.repaint();
      this.next(0);
    }, 120);
  }

  match(text) {
    const wanted = text.trim().toLowerCase(), { names, ops } = this.names;
    const origins = new Set();
    if (wanted) {
      names.forEach((name, i) => {
        if (name.toLowerCase().includes(wanted) || ops[i].toLowerCase().includes(wanted)) origins.add(i);
      });
    }
    for (const pane of Object.values(this.panes)) {
      const s = pane.scene;
      pane.hits = wanted ? new Set() : null;
      if (wanted) {
        s.of.forEach((of, i) => {
          if (listOf(of).some((o) => origins.has(o)) || s.title[i].toLowerCase().includes(wanted)) pane.hits.add(i);
        });
      }
    }
    this.found = wanted ? [...this.panes.left.hits].sort((i, j) => this.panes.left.scene.y[i] - this.panes.left.scene.y[j]) : [];
    this.turn = 0;
    this.count.textContent = wanted ? `${origins.size.toLocaleString("en")} found` : "";
  }

  next(step) {
    if (!this.found.length) return;
    this.turn = (this.turn + step + this.found.length) % this.found.length;
    this.panes.left.center(this.found[this.turn], step !== 0);
    this.count.textContent = `${this.turn + 1} of ${this.found.length}`;
    if (step) {
      this.pick(this.panes.left, this.found[this.turn], false);
      this.panes.left.restyle();
    }
  }

  // --- hover -----------------------------------------------------------------------------------

  hover(pane, item, event) {
    clearTimeout(this.hovering);
    if (item < 0 || (event && event.buttons)) {
      this.tip.hidden = true;
      this.hovered = null;
      return;
    }
    if (this.hovered && this.hovered.item === item && this.hovered.pane === pane) return;
    this.tip.hidden = true;
    this.hovered = { pane, item, x: event.clientX, y: event.clientY };
    this.hovering = setTimeout(() => this.hovered && this.showTip(), 180);
  }

  showTip() {
    const { pane, item, x, y } = this.hovered, s = pane.scene, data = this.ask(pane, item);
    const basic = [s.title[item], s.name[item] || s.line[item], s.note[item]];
    this.tip.textContent = data ? data.tip : basic.filter((line) => line).join("\n");
    this.tip.hidden = false;
    const frame = this.root.getBoundingClientRect();
    const left = clamp(x - frame.left + 14, 4, frame.width - this.tip.offsetWidth - 4);
    const below = y - frame.top + 16;
    const top = below + this.tip.offsetHeight > frame.height ? y - frame.top - this.tip.offsetHeight - 10 : below;
    this.tip.style.transform = `translate(${left}px, ${Math.max(2, top)}px)`;
  }
}

function renderGraphView({ model, el }) {
  const viewer = new GraphViewer(model, el);
  return () => viewer.close();
}
