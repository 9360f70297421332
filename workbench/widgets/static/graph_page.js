// A page without a kernel: the traits of the view from the state that is kept in the page, and the
// placing of open groups. A group is laid out on its own; where it opens, the drawing is stretched
// downwards to its height and parted sideways to its width, and everything else keeps its order.

const PAD = 20; // around the inside of an open group
const RAMP = 26; // over which an edge beside it swings back

class GroupedGraph {
  constructor(side) {
    this.side = side;
    this.opened = new Set();
    this.groups = [...Array(side.closed).keys()].filter((i) => side.room[i]);
    this.routes = side.d.map(numbersOf);
    this.linksOf = new Map();
    for (const [edge, tail, head] of side.links) {
      if (!this.linksOf.has(edge)) this.linksOf.set(edge, []);
      this.linksOf.get(edge).push([tail, head]);
    }
  }

  // The group a box opens or closes; undefined for a box that is none and in none.
  groupOf(box) {
    return box < this.side.closed ? (this.side.room[box] ? box : undefined) : this.side.home[box - this.side.closed];
  }

  toggle(box) {
    const group = this.groupOf(box);
    if (group === undefined) return false;
    if (!this.opened.delete(group)) this.opened.add(group);
    return true;
  }

  foldAll(open) { this.opened = new Set(open ? this.groups : []); }

  // The box that stands for another one, which may be inside a closed group, or an open group.
  standing(box) {
    const s = this.side;
    if (box >= s.closed) {
      const home = s.home[box - s.closed];
      return this.opened.has(home) ? box : home;
    }
    return this.opened.has(box) ? s.closed + s.home.indexOf(box) : box;
  }

  // Numbers of the boxes that are seen, and the picture with them in it.
  scene(rev) {
    const s = this.side, shown = [];
    for (let i = 0; i < s.x.length; i++) if (this.standing(i) === i) shown.push(i);
    const frames = this.frames(), spots = shown.map((i) => this.spot(i, frames));
    const place = new Map(shown.map((box, k) => [box, k]));
    const edges = this.edges(frames, place);
    const points = edges.map(([, , way]) => way);
    const least = (axis) => {
      let low = Infinity;
      for (const one of spots) low = Math.min(low, one[axis]);
      for (const way of points) for (let k = axis; k < way.length; k += 2) low = Math.min(low, way[k]);
      return low;
    };
    const left = least(0), top = least(1);
    const pick = (name) => shown.map((i) => s[name][i]);
    const found = {
      rev, count: s.count, x: spots.map((at) => at[0] - left), y: spots.map((at) => at[1] - top),
      a: edges.map((edge) => edge[0]), b: edges.map((edge) => edge[1]),
      d: points.map((way) => pathOf(way, left, top)),
    };
    for (const name of ["w", "h", "kind", "title", "line", "note", "name", "of", "open"]) found[name] = pick(name);
    const reach = (at, size) => at.reduce((most, one, k) => Math.max(most, one + size[k]), 0);
    found.width = reach(found.x, found.w);
    found.height = reach(found.y, found.h);
    for (const way of points) for (let k = 0; k < way.length; k += 2) found.width = Math.max(found.width, way[k] - left);
    return { shown, place, found };
  }

  // Open groups from the top on: where each was, how much it grows, and how far what is below moves.
  frames() {
    const s = this.side;
    const frames = [...this.opened].map((group) => {
      const [wide, high] = s.room[group];
      return {
        group, left: s.x[group], right: s.x[group] + s.w[group], top: s.y[group],
        low: s.y[group] + s.h[group], wide, high,
        scale: Math.max(1, (high + 2 * PAD) / s.h[group]), grow: Math.max(0, wide + 2 * PAD - s.w[group]),
      };
    });
    const stops = [...new Set(frames.flatMap((one) => [one.top, one.low]))].sort((p, q) => p - q);
    let y = stops.length ? stops[0] : 0;
    this.stretch = stops.map((stop, k) => {
      const next = k + 1 < stops.length ? stops[k + 1] : stop;
      const slope = Math.max(1, ...frames.filter((f) => f.top <= stop && f.low >= next && next > stop).map((f) => f.scale));
      const one = { from: stop, to: y, slope };
      y += (next - stop) * slope;
      return one;
    });
    return frames;
  }

  down(y) {
    const stretch = this.stretch;
    let low = 0, high = stretch.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (stretch[middle].from <= y) low = middle + 1;
      else high = middle;
    }
    if (!low) return y;
    const { from, to, slope } = stretch[low - 1];
    return to + (y - from) * slope;
  }

  // How far something at x between two heights moves sideways; a little beyond a frame it swings back.
  aside(x, top, low, frames, ramp) {
    let by = 0;
    for (const one of frames) {
      const beyond = Math.max(one.top - low, top - one.low, 0);
      if (!one.grow || beyond > ramp) continue;
      const share = ramp ? 1 - beyond / ramp : 1;
      if (x > one.right) by += (one.grow / 2) * share;
      else if (x < one.left) by -= (one.grow / 2) * share;
    }
    return by;
  }

  // Left upper corner of a box.
  spot(i, frames) {
    const s = this.side;
    if (i >= s.closed) {
      const frame = this.frameOf(s.home[i - s.closed], frames);
      return [frame.x + s.x[i], frame.y + s.y[i]];
    }
    const x = s.x[i] + s.w[i] / 2, y = s.y[i] + s.h[i] / 2;
    return [s.x[i] + this.aside(x, s.y[i], s.y[i] + s.h[i], frames, 0), this.down(y) - s.h[i] / 2];
  }

  frameOf(group, frames) {
    const frame = frames.find((one) => one.group === group);
    if (frame.x === undefined) {
      const middle = (frame.left + frame.right) / 2;
      const top = this.down(frame.top), low = this.down(frame.low);
      frame.mid = middle + this.aside(middle, frame.top, frame.low, frames.filter((one) => one !== frame), 0);
      frame.x = frame.mid - frame.wide / 2;
      frame.y = (top + low - frame.high) / 2;
    }
    return frame;
  }

  edges(frames, place) {
    const s = this.side, found = [];
    for (let e = 0; e < s.a.length; e++) {
      const way = frames.length ? this.bent(e, frames) : this.routes[e];
      if (!this.opened.has(s.a[e]) && !this.opened.has(s.b[e])) {
        found.push([place.get(s.a[e]), place.get(s.b[e]), way]);
        continue;
      }
      const ends = new Map();
      for (const [tail, head] of this.linksOf.get(e) || []) {
        const pair = [this.standing(tail), this.standing(head)];
        ends.set(pair.join(), pair);
      }
      for (const [tail, head] of ends.values()) {
        found.push([place.get(tail), place.get(head), this.joined(way, tail, head, frames)]);
      }
    }
    for (const [tail, head, text] of s.within) {
      const group = s.home[tail - s.closed];
      if (!this.opened.has(group)) continue;
      const { x, y } = this.frameOf(group, frames);
      found.push([place.get(tail), place.get(head), numbersOf(text).map((n, k) => n + (k % 2 ? y : x))]);
    }
    return found;
  }

  // The way of an edge of the closed picture after the stretching; its ends stay on its boxes.
  bent(e, frames) {
    const s = this.side, way = finer(this.routes[e], frames), last = way.length - 2;
    const moved = way.slice();
    for (let k = 0; k <= last; k += 2) {
      moved[k] += this.aside(way[k], way[k + 1], way[k + 1], frames, RAMP);
      moved[k + 1] = this.down(way[k + 1]);
    }
    if (!way.length) return moved;
    this.fasten(moved, way, 0, s.a[e], frames);
    this.fasten(moved, way, last, s.b[e], frames);
    return moved;
  }

  fasten(moved, way, end, box, frames) {
    const s = this.side;
    let dx, dy;
    if (this.opened.has(box)) {
      dx = this.frameOf(box, frames).mid - (s.x[box] + s.w[box] / 2);
      dy = this.down(end ? s.y[box] : s.y[box] + s.h[box]) - way[end + 1];
    } else {
      const [x, y] = this.spot(box, frames);
      [dx, dy] = [x - s.x[box], y - s.y[box]];
    }
    for (const k of end ? [end, end - 2] : [end, end + 2]) {
      moved[k] = way[k] + dx;
      moved[k + 1] = way[k + 1] + dy;
    }
  }

  // From a box inside an open group over the frame's border on, and the same at the other end.
  joined(way, tail, head, frames) {
    const s = this.side;
    if (way.length === 8) {
      // A short edge goes straight from box to box.
      const from = tail < s.closed ? way.slice(0, 2) : this.port(tail, frames, s.h[tail]);
      const to = head < s.closed ? way.slice(-2) : this.port(head, frames, 0);
      return swing(...from, ...to);
    }
    let out = way;
    if (tail >= s.closed) {
      out = [...swing(...this.port(tail, frames, s.h[tail]), out[0], out[1]), ...out.slice(2)];
    }
    if (head >= s.closed) {
      const n = out.length;
      out = [...out.slice(0, -2), ...swing(out[n - 2], out[n - 1], ...this.port(head, frames, 0))];
    }
    return out;
  }

  // The middle of a box's upper border, or of one so far below it.
  port(box, frames, below) {
    const [x, y] = this.spot(box, frames);
    return [x + this.side.w[box] / 2, y + below];
  }
}

function numbersOf(text) {
  return (text.match(/-?\d+/g) || []).map(Number);
}

function pathOf(way, left, top) {
  if (!way.length) return "";
  const points = [];
  for (let k = 0; k < way.length; k += 2) points.push(`${Math.round(way[k] - left)} ${Math.round(way[k + 1] - top)}`);
  return `M${points[0]}C${points.slice(1).join(" ")}`;
}

function swing(x0, y0, x1, y1) {
  const half = Math.max(12, Math.abs(y1 - y0) / 2);
  return [x0, y0, x0, y0 + half, x1, y1 - half, x1, y1];
}

// Curves that pass an open group are cut into short ones, so that each part can move on its own.
function finer(way, frames) {
  const found = way.slice(0, 2);
  for (let k = 2; k + 5 < way.length; k += 6) {
    const curve = [...found.slice(-2), ...way.slice(k, k + 6)];
    const top = Math.min(curve[1], curve[7]), low = Math.max(curve[1], curve[7]);
    const near = frames.some((one) => top < one.low + RAMP && low > one.top - RAMP);
    const parts = near ? clamp(Math.ceil((low - top) / 24), 1, 60) : 1;
    let rest = curve;
    for (let left = parts; left > 1; left--) {
      const [head, tail] = split(rest, 1 / left);
      found.push(...head.slice(2));
      rest = tail;
    }
    found.push(...rest.slice(2));
  }
  return found;
}

function split(curve, t) {
  let row = [0, 2, 4, 6].map((k) => [curve[k], curve[k + 1]]);
  const head = [row[0]], tail = [row[3]];
  while (row.length > 1) {
    row = row.slice(1).map((point, k) => [row[k][0] + (point[0] - row[k][0]) * t, row[k][1] + (point[1] - row[k][1]) * t]);
    head.push(row[0]);
    tail.unshift(row[row.length - 1]);
  }
  return [head.flat(), tail.flat()];
}

class PageModel {
  constructor(state) {
    this.state = state;
    this.heard = {};
    this.sides = { left: new GroupedGraph(state.left), right: new GroupedGraph(state.right) };
    this.seen = {};
    this.values = {
      _names: state.names, _marked: [], _rev: 0, _busy: "", _notice: "", _twin: "", _details: {},
      overlay: state.overlay, theme: "auto", height: Math.max(420, innerHeight - 190), rendered: 0,
    };
    this.place("left");
    this.place("right");
    this.paint();
  }

  get(name) { return this.values[name]; }
  on(name, act) { (this.heard[name] = this.heard[name] || []).push(act); }
  off() {}
  save_changes() {}

  set(name, value) {
    this.values[name] = value;
    if (name === "overlay") this.paint();
  }

  send(message) {
    const { do: act, side, item } = message;
    if (act === "select") this.values._marked = message.origins;
    if (act === "toggle" && !this.sides[side].toggle(this.seen[side].shown[item])) return;
    if (act === "fold") this.sides[side].foldAll(message.open);
    if (act !== "toggle" && act !== "fold") return;
    this.place(side);
    this.paint();
  }

  place(side) {
    const seen = this.sides[side].scene(this.values._rev + 1);
    this.seen[side] = seen;
    this.values[`_${side}`] = seen.found;
    const kept = this.state.details[side === "left" ? 0 : 1];
    this.values._details = { ...this.values._details, [side]: kept && seen.shown.map((i) => this.linked(side, kept[i])) };
  }

  // Links lead to the boxes that are seen.
  linked(side, data) {
    const { place } = this.seen[side], graph = this.sides[side];
    const here = (box) => place.get(graph.standing(box));
    const row = (one) => (Array.isArray(one) ? [one[0], one[1], one[2].map(here)] : one);
    return { ...data, sections: data.sections.map(([head, rows]) => [head, rows.map(row)]) };
  }

  paint() {
    const paint = this.state.paints[this.values.overlay], panes = {};
    for (const side of ["left", "right"]) {
      const pick = (column) => this.seen[side].shown.map((i) => column[i]);
      const { c, b, r } = paint.panes[side];
      panes[side] = { c: pick(c), b: pick(b), r: pick(r) };
    }
    this.values._rev++;
    this.values._paint = { ...paint, panes, rev: this.values._rev };
    setTimeout(() => (this.heard["change:_rev"] || []).forEach((act) => act()));
  }
}

async function unpackedState(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

unpackedState(document.getElementById("state").textContent).then((state) =>
  renderGraphView({ model: new PageModel(state), el: document.getElementById("view") }));
