// Arrays of the page: deflated bytes in base64, unpacked by the browser itself.

const TYPES = {uint8: Uint8Array, uint16: Uint16Array, int16: Int16Array, int32: Int32Array};

async function unpack(packed) {
  const text = atob(packed.data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  if (packed.type === "json") return JSON.parse(new TextDecoder().decode(buffer));
  return new TYPES[packed.type](buffer);
}

// Parcels: what is told of each, the number at each pixel, outlines in pixels.
async function unpackParcels(packed) {
  const told = await unpack(packed.told), numbers = await unpack(packed.numbers);
  const steps = await unpack(packed.coordinates), rings = await unpack(packed.rings);
  const x = new Float32Array(steps.length / 2), y = new Float32Array(steps.length / 2);
  let column = 0, row = 0;
  for (let i = 0; i < x.length; i++) {
    column = (column + steps[2 * i]) << 16 >> 16;  // differences wrap around in 16 bits
    row = (row + steps[2 * i + 1]) << 16 >> 16;
    x[i] = (column + 8192) / 8;
    y[i] = (row + 8192) / 8;
  }
  const outlines = [];
  for (let ring = 0, start = 0; ring < rings.length / 2; ring++) {
    const parcel = rings[2 * ring], stop = start + rings[2 * ring + 1];
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = start; i < stop; i++) {
      box[0] = Math.min(box[0], x[i]);
      box[1] = Math.min(box[1], y[i]);
      box[2] = Math.max(box[2], x[i]);
      box[3] = Math.max(box[3], y[i]);
    }
    outlines.push({parcel, start, stop, box});
    start = stop;
  }
  return {...told, number: packed.number, classes: packed.classes, numbers, x, y, outlines};
}
