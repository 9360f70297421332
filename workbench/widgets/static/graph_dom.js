// Small helpers of the graph view. A text from a scene only ever becomes a text node or the value
// of an attribute that no browser reads as code: there is no innerHTML in these files.

const SVG_NS = "http://www.w3.org/2000/svg";

function put(parent, tag, attributes, text) {
  const one = document.createElement(tag);
  for (const name in attributes) one.setAttribute(name, attributes[name]);
  if (text !== undefined) one.textContent = text;
  if (parent) parent.appendChild(one);
  return one;
}

function draw(parent, tag, attributes, text) {
  const one = document.createElementNS(SVG_NS, tag);
  for (const name in attributes) one.setAttribute(name, attributes[name]);
  if (text !== undefined) one.textContent = text;
  if (parent) parent.appendChild(one);
  return one;
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
}

function listOf(places) {
  return typeof places === "number" ? [places] : places;
}

// Whether the page around the view is dark: JupyterLab and Notebook say so on the body, VS Code
// by a class; anywhere else the system's wish counts.
function pageIsDark() {
  const body = document.body;
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  if (/vscode-(dark|high-contrast)/.test(body.className)) return true;
  if (/vscode-light/.test(body.className)) return false;
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

let graphViews = 0;

// Three values for each box against the originals that are marked: 0 not, 1 partly, 2 wholly.
function marksOf(of, marked) {
  return of.map((origins) => {
    if (typeof origins === "number") return marked.has(origins) ? 2 : 0;
    let found = 0;
    for (const origin of origins) if (marked.has(origin)) found++;
    return found === 0 ? 0 : found === origins.length ? 2 : 1;
  });
}

function neighbours(scene, start, steps) {
  const near = new Set(start);
  for (let step = 0; step < steps; step++) {
    const found = [];
    for (let e = 0; e < scene.a.length; e++) {
      if (near.has(scene.a[e])) found.push(scene.b[e]);
      if (near.has(scene.b[e])) found.push(scene.a[e]);
    }
    for (const item of found) near.add(item);
  }
  return near;
}

// The box of a new picture for one of the old: the one with the same nodes, else the one that holds
// the first of them, else -1. An input or output has no nodes, but keeps its name.
function counterpart(before, item, scene) {
  const nodes = listOf(before.of[item]);
  const name = (one, i) => `${one.kind[i]} ${one.title[i]} ${one.name[i]}`;
  if (!nodes.length) return scene.of.findIndex((_, i) => name(scene, i) === name(before, item));
  const same = (of) => of.length === nodes.length && of.every((o, i) => o === nodes[i]);
  const found = scene.of.findIndex((of) => same(listOf(of)));
  return found >= 0 ? found : scene.of.findIndex((of) => listOf(of).includes(nodes[0]));
}
