// The panel beside the pictures: everything about one box, and what the colours mean.

class GraphPanel {
  constructor(view) {
    this.view = view;
    this.root = put(null, "aside", { class: "panel", "aria-label": "Details of the selection" });
    this.empty();
  }

  empty() {
    this.root.replaceChildren();
    put(this.root, "p", { class: "hint" },
      "Select a box: its counterparts light up in the other graph, and this panel says everything " +
      "about it. Double-click or Enter opens an engine or a block.");
  }

  show(pane, item, data) {
    const scene = pane.scene, kind = KIND_WORDS[scene.kind[item]];
    this.root.replaceChildren();
    const head = put(this.root, "header", {});
    put(head, "h4", {}, data ? data.title : scene.title[item]);
    put(head, "p", { class: "name" }, data ? data.name : scene.name[item] || scene.line[item]);
    this.buttons(head, pane, item, kind);
    if (!data) {
      put(this.root, "p", { class: "hint" }, "The kernel is asked for the rest …");
      return;
    }
    if (data.verdict) this.verdict(data.name, data.verdict);
    const facts = put(this.root, "dl", {});
    for (const [label, text] of data.facts) {
      put(facts, "dt", {}, label);
      put(facts, "dd", {}, text);
    }
    for (const [title, rows] of data.sections) this.section(pane, title, rows);
  }

  buttons(head, pane, item, kind) {
    const row = put(head, "div", { class: "row" });
    const add = (text, act) =>
      put(row, "button", { type: "button" }, text).addEventListener("click", act);
    if (kind === "engine" || kind === "block") add(`Open ${kind}`, () => this.view.toggle(pane, item));
    else if (pane.scene.open[item]) {
      add(pane.side === "left" ? "Close block" : "Close engine", () => this.view.toggle(pane, item));
    }
    add("Neighbourhood", () => this.view.focusNear(pane));
  }

  // Copies the answer as text; where a page may not use the clipboard, it is selected instead.
  copying(box, name, verdict) {
    const steps = verdict.witness.map(([step]) => step);
    const text = `${name}: ${verdict.text}${steps.length ? `\nWitness: ${steps.join(" -> ")}` : ""}`;
    const button = put(box, "button", { type: "button", class: "copy", title: "Copy this answer" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(box);
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  }

  verdict(name, verdict) {
    const box = put(this.root, "div", { class: "verdict" });
    put(box, "strong", {}, "Why it is here: ");
    put(box, "span", {}, verdict.text);
    this.copying(box, name, verdict);
    if (!verdict.witness.length) return;
    put(box, "p", { class: "label" }, "Witness:");
    const path = put(box, "ol", {});
    for (const [name, origin] of verdict.witness) {
      const step = put(put(path, "li", {}), "button", { type: "button", class: "link" }, name);
      step.addEventListener("click", () => this.view.showOrigin(origin));
    }
  }

  section(pane, title, rows) {
    const box = put(this.root, "details", { open: "" });
    put(box, "summary", {}, title);
    const table = put(box, "table", {});
    for (const row of rows) {
      const [label, text, ends] = Array.isArray(row) ? row : ["", row, []];
      const line = put(table, "tr", {});
      if (label) put(line, "th", { scope: "row" }, label);
      const cell = put(line, "td", label ? {} : { colspan: 2 }, text);
      for (const item of ends) {
        const link = put(cell, "button", { type: "button", class: "link" },
          `${title === "Reads" ? "←" : "→"} ${pane.scene.title[item]}`);
        link.addEventListener("click", () => pane.step(item));
      }
    }
  }
}

class GraphLegend {
  constructor(view) {
    this.view = view;
    this.root = put(null, "div", { class: "legend", role: "group", "aria-label": "Legend" });
  }

  show(paint) {
    this.root.replaceChildren();
    put(this.root, "span", { class: "label" }, `${paint.title}:`);
    for (const [name, text] of paint.legend) {
      const entry = put(this.root, "span", { class: "entry" });
      const swatches = name === "e0" && paint.overlay === "partition" ? this.engines(paint) : [name];
      for (const one of name ? swatches : []) put(entry, "i", { class: `swatch c-${one}` });
      put(entry, "span", {}, text);
    }
  }

  engines(paint) {
    return [...new Set(paint.engines)].slice(0, 4).map((number) => `e${number}`);
  }
}
