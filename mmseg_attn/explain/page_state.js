'use strict';

// State: what the page carries, what is chosen, and what the maps say.

const page = JSON.parse(document.getElementById('page').textContent);
const colours = Object.fromEntries(Object.entries(page.colours).map(([name, text]) => [name, fromBase64(text)]));
// The pixel that is pointed at, and the one nearest to it that has a map: x, y.
const state = {point: [0, 0], x: 0, y: 0, held: false, reading: null, readMode: false, colours: 'inferno', scale: 'linear'};
const element = id => document.getElementById(id);

// What the page carries, packed.

function fromBase64(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

async function unpack(id) {
  const script = element(id);
  const stream = new Blob([fromBase64(script.textContent.trim())]).stream().pipeThrough(new DecompressionStream('deflate'));
  script.remove();
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function load(head, index) {
  const labels = await unpack(`labels-${index}`);
  head.labels.values = new Uint16Array(labels.buffer);
  head.peaks = new Float32Array(fromBase64(element(`peaks-${index}`).textContent.trim()).buffer);
  head.codes = await unpack(`maps-${index}`);
  const cells = head.map.rows * head.map.columns;
  const row = cells * head.columns.length;
  // Each map is stored as its difference, modulo 256, from the one before it in the row.
  for (let start = 0; start < head.codes.length; start += row) {
    for (let i = start + cells; i < start + row; i++) head.codes[i] += head.codes[i - cells];
  }
  for (const window of head.windows) window.classes = classesOfCells(head, window);
  if (head.cam && head.cam.rows) head.cam.codes = await unpack(`cam-${index}`);
  if (head.scales) head.scales.codes = await unpack(`scales-${index}`);
}

// Positions are pixels of the picture, the centre of the first one at 0.

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const centre = ([first, step], cell) => first + step * cell;

function labelAt(head, x, y) {
  const {rows, columns, values} = head.labels;
  const row = clamp(Math.floor((y + 0.5) / page.height * rows), 0, rows - 1);
  return values[row * columns + clamp(Math.floor((x + 0.5) / page.width * columns), 0, columns - 1)];
}

function classesOfCells(head, window) {
  const classes = new Int32Array(head.map.rows * head.map.columns).fill(-1);
  for (let row = 0; row < head.map.rows; row++) {
    for (let column = 0; column < head.map.columns; column++) {
      const x = centre(window.x, column), y = centre(window.y, row);
      if (x >= -0.5 && y >= -0.5 && x <= page.width - 0.5 && y <= page.height - 0.5) {
        classes[row * head.map.columns + column] = labelAt(head, x, y);
      }
    }
  }
  return classes;
}

// The sample of a head that is nearest to a position: its window, its place, and which map it has.
function nearestSample(head, x, y) {
  const distance = window => (x - window.middle[0]) ** 2 + (y - window.middle[1]) ** 2;
  let index = 0;
  head.windows.forEach((window, i) => { if (distance(window) < distance(head.windows[index])) index = i; });
  const window = head.windows[index];
  const nearest = (cells, axis, position) => cells.reduce((best, cell, i) =>
    Math.abs(centre(axis, cell) - position) < Math.abs(centre(axis, cells[best]) - position) ? i : best, 0);
  const row = nearest(head.rows, window.y, y), column = nearest(head.columns, window.x, x);
  const number = (index * head.rows.length + row) * head.columns.length + column;
  // The cells of a padded input may be centred beyond the picture.
  return {window, number, x: clamp(centre(window.x, head.columns[column]), 0, page.width - 1),
    y: clamp(centre(window.y, head.rows[row]), 0, page.height - 1)};
}

function mapOf(head, sample) {
  const cells = head.map.rows * head.map.columns;
  const codes = head.codes.subarray(sample.number * cells, (sample.number + 1) * cells);
  return {codes, peak: head.peaks[sample.number], signed: head.signed, rows: head.map.rows, columns: head.map.columns,
    x: sample.window.x, y: sample.window.y};
}

const value = (map, i) => map.signed ? (map.codes[i] - 128) / 127 * map.peak : map.codes[i] / 255 * map.peak;

function statistics(map, classes) {
  let top = 0, sum = 0;
  const shares = new Map();
  for (let i = 0; i < map.codes.length; i++) {
    const size = Math.abs(value(map, i));
    if (size > Math.abs(value(map, top))) top = i;
    sum += size;
    shares.set(classes[i], (shares.get(classes[i]) || 0) + size);
  }
  const sorted = [...shares].map(([label, share]) => [label, sum ? share / sum : 0]).sort((a, b) => b[1] - a[1]);
  return {top, mean: sum / map.codes.length, shares: sorted};
}

const finestHead = () => page.heads.reduce((a, b) =>
  b.rows.length * b.columns.length * b.windows.length > a.rows.length * a.columns.length * a.windows.length ? b : a);

// Where the config slides, a map ends with its window: beyond it there is no value, and the answer is null.
function valueAt(map, x, y) {
  const [column, row] = [[map.x, x], [map.y, y]].map(([[first, step], at]) => Math.round((at - first) / step));
  const inside = column >= 0 && row >= 0 && column < map.columns && row < map.rows;
  return inside ? value(map, row * map.columns + column) : null;
}

const camMap = head => ({...head.cam, peak: 1, signed: false});

// The weights of one scale as a map, and those of all at one cell, or at a position.

function scaleMap(head, scale) {
  const {rows, columns, x, y, codes} = head.scales;
  return {codes: codes.subarray(scale * rows * columns, (scale + 1) * rows * columns), peak: 1, signed: false, rows, columns, x, y};
}

const weightsAt = (head, i) => head.scales.names.map((_, scale) =>
  head.scales.codes[scale * head.scales.rows * head.scales.columns + i] / 255);
const weightsOf = (head, x, y) => head.scales.names.map((_, scale) => valueAt(scaleMap(head, scale), x, y));
const largest = weights => weights.indexOf(Math.max(...weights));
