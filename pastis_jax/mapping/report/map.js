// The map: a canvas that moves and zooms, in shown pixels ("columns" and "rows").

class MapView {
  constructor(canvas, picture, onView) {
    this.canvas = canvas;
    this.picture = picture;  // a canvas, one pixel for each that is shown
    this.onView = onView;
    this.parcels = null;
    this.named = null;  // {row, column} of the pixel that is named
    this.cross = false;  // whether the middle is marked, for the keyboard
    this.pointers = new Map();
    this.queued = false;
    this.fit();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  get width() { return this.canvas.clientWidth; }
  get height() { return this.canvas.clientHeight; }

  resize() {
    const least = this.least();
    if (this.whole || this.scale < least) this.fit();
    this.queue();
  }

  least() { return Math.min(this.width / this.picture.width, this.height / this.picture.height); }

  fit() {
    this.scale = this.least();
    this.x = this.picture.width / 2;
    this.y = this.picture.height / 2;
    this.whole = true;
    this.queue();
  }

  // To the pixel under a point of the canvas.
  at(px, py) {
    return {column: this.x + (px - this.width / 2) / this.scale, row: this.y + (py - this.height / 2) / this.scale};
  }

  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const before = this.at(px, py);
    this.scale = Math.min(Math.max(this.scale * factor, this.least()), 60);
    this.x = before.column - (px - this.width / 2) / this.scale;
    this.y = before.row - (py - this.height / 2) / this.scale;
    this.whole = false;
    this.keep();
  }

  move(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.whole = false;
    this.keep();
  }

  show(column, row, scale) {
    this.x = column;
    this.y = row;
    this.scale = Math.max(scale, this.least());
    this.whole = false;
    this.keep();
  }

  keep() {
    this.x = Math.min(Math.max(this.x, 0), this.picture.width);
    this.y = Math.min(Math.max(this.y, 0), this.picture.height);
    this.queue();
  }

  name(column, row) {
    const c = Math.floor(column), r = Math.floor(row);
    const inside = c >= 0 && r >= 0 && c < this.picture.width && r < this.picture.height;
    this.named = inside ? {column: c, row: r} : null;
    this.onView.named(this.named);
    this.queue();
  }

  queue() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => { this.queued = false; this.draw(); });
  }

  draw() {
    const ratio = window.devicePixelRatio || 1, {width, height, scale} = this;
    const w = Math.round(width * ratio), h = Math.round(height * ratio);
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, {width: w, height: h});
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, w, h);
    const left = width / 2 - this.x * scale, top = height / 2 - this.y * scale;
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * left, ratio * top);
    context.imageSmoothingEnabled = scale * ratio < 1;
    context.drawImage(this.picture, 0, 0);
    if (this.parcels && scale >= 1.5) this.outline(context, scale);
    const mark = this.cross ? this.at(width / 2, height / 2) : this.named;
    if (mark && (this.cross || scale >= 4)) {
      context.lineWidth = 2 / scale;
      context.strokeStyle = "#000";
      context.strokeRect(Math.floor(mark.column), Math.floor(mark.row), 1, 1);
      context.strokeStyle = "#fff";
      context.strokeRect(Math.floor(mark.column) - 1.5 / scale, Math.floor(mark.row) - 1.5 / scale, 1 + 3 / scale, 1 + 3 / scale);
    }
    this.onView.moved(scale);
  }

  outline(context, scale) {
    const {x, y, outlines, numbers} = this.parcels, from = this.at(0, 0), to = this.at(this.width, this.height);
    const under = this.named ? numbers[this.named.row * this.picture.width + this.named.column] - 1 : -1;
    const trace = (path, one) => {
      path.moveTo(x[one.start], y[one.start]);
      for (let i = one.start + 1; i < one.stop; i++) path.lineTo(x[i], y[i]);
      path.closePath();
    };
    const every = new Path2D(), own = new Path2D();
    for (const one of outlines) {
      const [a, b, c, d] = one.box;
      if (c < from.column || a > to.column || d < from.row || b > to.row) continue;
      trace(one.parcel === under ? own : every, one);
    }
    context.lineJoin = "round";
    context.lineWidth = 1 / scale;
    context.strokeStyle = "rgba(20, 20, 20, .75)";
    context.stroke(every);
    for (const [wide, colour] of [[4, "#fff"], [2, "#000"]]) {
      context.lineWidth = wide / scale;
      context.strokeStyle = colour;
      context.stroke(own);
    }
  }

  listen() {
    const canvas = this.canvas, place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      this.cross = false;
      this.name(...Object.values(this.at(...place(event))));
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = place(event), before = this.pointers.get(event.pointerId);
      if (before) {
        if (this.pointers.size === 1) this.move(now[0] - before[0], now[1] - before[1]);
        else this.pinch(event.pointerId, before, now);
        this.pointers.set(event.pointerId, now);
      }
      if (this.pointers.size < 2) this.name(...Object.values(this.at(...now)));
      this.cross = false;
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 30 : 1;
      this.zoom(Math.exp(-Math.min(Math.max(event.deltaY * lines, -300), 300) / 350), ...place(event));
    }, {passive: false});
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => { this.cross = false; this.queue(); });
  }

  pinch(id, before, now) {
    const [other] = [...this.pointers].filter(([key]) => key !== id).map(([, point]) => point);
    const apart = (a) => Math.max(Math.hypot(a[0] - other[0], a[1] - other[1]), 1);
    this.move((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    this.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]};
    const fine = event.shiftKey ? this.scale / 60 : 1;
    if (steps[event.key]) this.move(steps[event.key][0] * fine, steps[event.key][1] * fine);
    else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0" || event.key === "Home") this.fit();
    else return;
    event.preventDefault();
    this.cross = true;
    this.name(this.x, this.y);
  }
}
