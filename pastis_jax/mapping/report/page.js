// The page around the map: layers, legend, scale, names, thumbnails.

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);

function make(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

const HECTARES = (area) => area.toLocaleString("en", {maximumFractionDigits: area < 1 ? 2 : area < 1000 ? 1 : 0}) + " ha";

function className(value) {
  if (value === UNCLASSIFIED) return "Unclassified";
  return value < data.classes.length ? data.classes[value].name : "Nothing known";
}

function swatch(value) {
  const patch = make("i", undefined, "swatch"), known = data.classes[value];
  patch.style.background = `rgb(${known ? known.colour : value === UNCLASSIFIED ? GREY : [0, 0, 0, 0]})`;
  return patch;
}

// Longitude and latitude of a point of the map, columns and rows of all its pixels.
function degrees(column, row) {
  const {nodes, longitude, latitude} = data.degrees, cells = nodes - 1;
  const x = column / data.grid.width * cells, y = row / data.grid.height * cells;
  const i = Math.min(Math.floor(x), cells - 1), j = Math.min(Math.floor(y), cells - 1);
  const between = (values) => {
    const at = (a, b) => values[(j + b) * nodes + i + a], u = x - i, v = y - j;
    return (1 - v) * ((1 - u) * at(0, 0) + u * at(1, 0)) + v * ((1 - u) * at(0, 1) + u * at(1, 1));
  };
  return [between(longitude), between(latitude)];
}

function tellOf(spot, arrays, parcels, width, height) {
  const readout = element("readout");
  readout.replaceChildren();
  const line = (text, name) => readout.append(make("p", text, name));
  if (!spot) return line("Outside of the map.", "hint");
  const place = spot.row * width + spot.column, crop = arrays.crop[place];
  const first = make("p", undefined, "name");
  first.append(swatch(crop), className(crop));
  readout.append(first);
  const percent = (value) => value === NODATA ? "not known" : value + " %";
  line(`Confidence ${percent(arrays.confidence[place])}, margin ${percent(arrays.margin[place])}`);
  const dates = data.modalities.map((name, i) => `${arrays.dates[i * width * height + place]} ${name}`);
  line("Valid dates: " + dates.join(", "));
  const row = data.first[0] + spot.row * data.step, column = data.first[1] + spot.column * data.step;
  const x = data.grid.left + (column + .5) * data.grid.pixel, y = data.grid.top - (row + .5) * data.grid.pixel;
  const [east, north] = degrees(column + .5, row + .5);
  line(`Row ${row}, column ${column}; ${data.grid.crs} ${x.toFixed(1)}, ${y.toFixed(1)}; longitude ${east.toFixed(6)}, latitude ${north.toFixed(6)}`, "small");
  if (parcels) tellParcel(parcels, parcels.numbers[place] - 1, line);
}

function tellParcel(parcels, i, line) {
  if (i < 0) return line("No parcel here.", "hint");
  line(`Parcel ${parcels.id[i]}, ${HECTARES(parcels.hectares[i])}`, "name");
  const top = [];
  for (let n = i * parcels.classes; n < (i + 1) * parcels.classes; n++) {
    if (parcels.top[n] >= 0) top.push(`${className(parcels.top[n])} ${parcels.percent[n]} %`);
  }
  const unclear = parcels.label[i] === UNCLASSIFIED ? "Unclassified. " : "";
  line(top.length ? `${unclear}Most probable: ${top.join(", ")}` : "Nothing is known of it.");
  if (parcels.truth[i] < 0) return line("Its true class is not known.", "small");
  const right = parcels.truth[i] === parcels.label[i] ? "" : ", not what is mapped";
  line(`Truth: ${className(parcels.truth[i])}${right}${parcels.held[i] ? " (held out)" : " (not held out)"}`);
}

function choices(layers, choose) {
  layers.forEach((layer, i) => {
    const label = make("label"), radio = make("input");
    Object.assign(radio, {type: "radio", name: "layer", value: layer.name, checked: i === 0});
    radio.addEventListener("change", () => choose(layer));
    label.append(radio, " ", layer.label);
    element("choose").append(label);
  });
}

function legend(layer, counts, lit, changed) {
  const box = element("legend");
  box.replaceChildren();
  if (!layer.classes) {
    const bar = make("div", undefined, "ramp"), ends = make("div", undefined, "ends");
    bar.style.background = rampStyle();
    ends.append(make("span", "0" + layer.unit), make("span", layer.most + layer.unit));
    return box.append(make("span", layer.label, "small"), bar, ends);
  }
  const area = (data.grid.pixel * data.step) ** 2 / 10000;
  const present = [...data.classes.keys(), UNCLASSIFIED].filter((value) => counts[value]);
  for (const value of present.sort((a, b) => counts[b] - counts[a])) {
    const button = make("button");
    button.type = "button";
    button.dataset.value = value;
    button.setAttribute("aria-pressed", lit.has(value));
    const about = data.step > 1 ? "≈ " : "";
    button.append(swatch(value), make("span", className(value)), make("b", about + HECTARES(counts[value] * area)));
    button.addEventListener("click", () => {
      if (!lit.delete(value)) lit.add(value);
      button.setAttribute("aria-pressed", lit.has(value));
      changed();
    });
    box.append(button);
  }
}

// A round number of metres, and how long a bar of it is.
function scaleBar(scale) {
  const metres = data.grid.pixel * data.step / scale, most = 120 * metres;
  const power = 10 ** Math.floor(Math.log10(most)), round = [5, 2, 1].find((n) => n * power <= most) * power;
  element("scale").firstElementChild.style.width = round / metres + "px";
  const far = round >= 10000;
  element("scale").lastElementChild.textContent = far ? round / 1000 + " km" : round.toLocaleString("en") + " m";
}

function thumbnail(canvas, place, picture) {
  const context = canvas.getContext("2d"), [left, top, side] = place.box.map((x) => x / data.step);
  const scale = canvas.width / side;
  context.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
  context.imageSmoothingEnabled = scale < 1;
  context.drawImage(picture, 0, 0);
  const path = new Path2D();
  for (const ring of place.rings) {
    ring.forEach((_, i) => { if (i % 2 === 0) path[i ? "lineTo" : "moveTo"](ring[i] / data.step, ring[i + 1] / data.step); });
    path.closePath();
  }
  for (const [wide, colour] of [[5, "#fff"], [2.5, "#000"]]) {
    context.lineWidth = wide / scale;
    context.strokeStyle = colour;
    context.stroke(path);
  }
}

async function start() {
  const [height, width] = data.layers.crop.shape, arrays = {};
  for (const name of Object.keys(data.layers)) arrays[name] = await unpack(data.layers[name]);
  const parcels = data.parcels ? await unpackParcels(data.parcels) : null;
  const layers = layersOf(data, arrays, height, width), lit = new Set(), counts = new Array(256).fill(0);
  for (const value of arrays.crop) counts[value]++;
  const picture = Object.assign(document.createElement("canvas"), {width, height});
  let shown = layers[0];
  paint(picture, shown, data.classes, lit);
  document.querySelectorAll(".thumb").forEach((canvas) => thumbnail(canvas, data.places[canvas.dataset.place], picture));
  const view = new MapView(element("map"), picture, {
    named: (spot) => tellOf(spot, arrays, parcels, width, height),
    moved: scaleBar,
  });
  view.parcels = parcels;
  const repaint = () => { paint(picture, shown, data.classes, lit); view.queue(); };
  const choose = (layer) => { shown = layer; legend(layer, counts, lit, repaint); repaint(); };
  choices(layers, choose);
  choose(shown);
  element("closer").addEventListener("click", () => view.zoom(1.5));
  element("farther").addEventListener("click", () => view.zoom(1 / 1.5));
  element("whole").addEventListener("click", () => view.fit());
  document.querySelectorAll("[data-show]").forEach((button) => button.addEventListener("click", () => {
    const place = data.places[button.dataset.show], [row, column] = place.middle;
    const x = (column + .5) / data.step, y = (row + .5) / data.step;
    view.show(x, y, Math.min(view.width, view.height) / (place.box[2] / data.step) / 1.5);
    view.name(x, y);
    element("map").scrollIntoView({block: "center"});
    element("map").focus({preventScroll: true});
  }));
  document.body.dataset.ready = "yes";
}

start().catch((error) => {
  const old = typeof DecompressionStream === "undefined";
  element("fault").textContent = old
    ? "This browser is too old to unpack the map: Chromium 80, Firefox 113 or Safari 16.4 and later can."
    : "The map cannot be shown: " + error.message;
  element("fault").hidden = false;
});
