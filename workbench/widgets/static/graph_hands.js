// What hands do in a pane: pointer, wheel, keyboard.

Object.assign(GraphPane.prototype, {
  listen() {
    this.svg.addEventListener("pointerdown", (event) => this.grab(event));
    this.svg.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.svg.addEventListener("keydown", (event) => this.key(event));
    this.svg.addEventListener("pointermove", (event) => this.view.hover(this, this.itemAt(event), event));
    this.svg.addEventListener("pointerleave", () => this.view.hover(this, -1));
    this.map.addEventListener("pointerdown", (event) => this.jump(event));
    this.map.addEventListener("pointermove", (event) => event.buttons && this.jump(event));
  },

  itemAt(event) {
    const box = event.target.closest && event.target.closest("g.n");
    return box ? +box.dataset.item : -1;
  },

  grab(event) {
    if (event.button) return;
    this.svg.focus({ preventScroll: true });
    let [x, y] = [event.clientX, event.clientY], moved = 0;
    const item = this.itemAt(event), more = event.shiftKey || event.ctrlKey || event.metaKey;
    const move = (now) => {
      const dx = now.clientX - x, dy = now.clientY - y;
      moved += Math.abs(dx) + Math.abs(dy);
      if (moved < 4) return;
      [x, y] = [now.clientX, now.clientY];
      this.svg.classList.add("held");
      this.pan(-dx, -dy);
    };
    const stop = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", stop);
      removeEventListener("pointercancel", stop);
      this.svg.classList.remove("held");
      if (moved < 4) this.click(item, more);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop);
    addEventListener("pointercancel", stop);
  },

  // The first click draws the boxes anew, so the browser sees no double click on any of them.
  click(item, more) {
    const twice = item >= 0 && item === this.clicked && performance.now() - this.clickedAt < 450;
    this.clicked = twice ? -1 : item;
    this.clickedAt = performance.now();
    if (twice) this.view.toggle(this, item);
    else this.view.pick(this, item, more);
  },

  // A page that is scrolled past the view goes on scrolling: the wheel is ours only with focus, or
  // with Ctrl, which zooms.
  wheel(event) {
    const step = event.deltaMode === 1 ? 18 : 1;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const stage = this.svg.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY * step * 0.0022), [event.clientX - stage.left, event.clientY - stage.top]);
    } else if (this.svg.matches(":focus")) {
      const before = this.at.y;
      this.pan(event.deltaX * step, event.deltaY * step);
      if (before !== this.at.y || event.deltaX) event.preventDefault();
    }
  },

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const act = {
      "ArrowDown": () => this.walk(0, 1), "ArrowUp": () => this.walk(0, -1),
      "ArrowRight": () => this.walk(1, 0), "ArrowLeft": () => this.walk(-1, 0),
      "Enter": () => this.current >= 0 && this.view.toggle(this, this.current),
      " ": () => this.view.pick(this, this.current, event.shiftKey),
      "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8),
      "0": () => this.whole(), "f": () => this.view.focusNear(this),
      "/": () => this.view.search.focus(), "n": () => this.view.next(1), "N": () => this.view.next(-1),
      "Escape": () => this.view.clear(), "Home": () => this.step(0),
      "End": () => this.step(this.scene.x.length - 1),
      "PageDown": () => this.pan(0, this.height() * 0.9), "PageUp": () => this.pan(0, -this.height() * 0.9),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  },

  // Down and up follow the edges, left and right go to the next box of about the same height.
  walk(dx, dy) {
    const s = this.scene, now = this.current;
    if (now < 0) return this.step(this.firstInView());
    const middle = (i) => s.x[i] + s.w[i] / 2;
    let found = [];
    if (dy) {
      for (let e = 0; e < s.a.length; e++) {
        if (dy > 0 && s.a[e] === now) found.push(s.b[e]);
        if (dy < 0 && s.b[e] === now) found.push(s.a[e]);
      }
      found.sort((i, j) => Math.abs(middle(i) - middle(now)) - Math.abs(middle(j) - middle(now)));
    } else {
      for (let i = 0; i < s.x.length; i++) {
        if (Math.abs(s.y[i] - s.y[now]) < 40 && (middle(i) - middle(now)) * dx > 0) found.push(i);
      }
      found.sort((i, j) => Math.abs(middle(i) - middle(now)) - Math.abs(middle(j) - middle(now)));
    }
    if (found.length) this.step(found[0]);
  },

  firstInView() {
    const s = this.scene;
    const found = s.y.findIndex((y, i) => y >= this.at.y && s.x[i] + s.w[i] > this.at.x);
    return Math.max(0, found);
  },

  step(item) {
    this.view.pick(this, item, false);
    this.center(item);
    this.restyle();
  },

  jump(event) {
    const stage = this.map.getBoundingClientRect();
    this.at.y = (event.clientY - stage.top) / this.mapScale() - this.height() / 2 / this.at.k;
    this.hold();
    this.update();
  },
});
