// The layers: what each shows at a value, as a picture of as many pixels as the page holds.

const UNCLASSIFIED = 254, NODATA = 255, GREY = [235, 235, 235];
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

const opaque = ([r, g, b], alpha = 255) => ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;

function ramp(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1), low = Math.min(Math.floor(at), RAMP.length - 2);
  return RAMP[low].map((value, i) => Math.round(value + (RAMP[low + 1][i] - value) * (at - low)));
}

function rampStyle() {
  return "linear-gradient(to right, " + RAMP.map((colour) => `rgb(${colour})`).join(", ") + ")";
}

// What can be chosen: name, label, values, highest value, and whether 255 is nodata.
function layersOf(data, arrays, height, width) {
  const layers = [
    {name: "crop", label: "Crop", values: arrays.crop, classes: true},
    {name: "confidence", label: "Confidence", values: arrays.confidence, most: 100, unit: " %", marked: true},
    {name: "margin", label: "Margin to the second class", values: arrays.margin, most: 100, unit: " %", marked: true},
  ];
  data.modalities.forEach((modality, i) => {
    const values = arrays.dates.subarray(i * height * width, (i + 1) * height * width);
    let most = 1;
    for (const value of values) if (value > most) most = value;
    layers.push({name: "dates " + modality, label: "Valid dates, " + modality, values, most, unit: ""});
  });
  return layers;
}

// Draws a layer into a canvas of its own size; classes that are not in `lit` are pale, if any are.
function paint(canvas, layer, classes, lit) {
  const context = canvas.getContext("2d"), size = canvas.width * canvas.height;
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = new Uint32Array(65536);
  if (layer.classes) {
    classes.forEach((one, i) => { colours[i] = opaque(one.colour, !lit.size || lit.has(i) ? 255 : 38); });
    colours[UNCLASSIFIED] = opaque(GREY, !lit.size || lit.has(UNCLASSIFIED) ? 255 : 38);
  } else {
    for (let i = 0; i <= layer.most; i++) colours[i] = opaque(ramp(i / layer.most));
    if (layer.marked) colours[NODATA] = 0;
  }
  for (let i = 0; i < size; i++) pixels[i] = colours[layer.values[i]];
  context.putImageData(image, 0, 0);
}
