'use strict';

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

// Drawing.

function lookUp(map, code) {
  let at = map.signed ? (code - 128) / 127 : code / 255;
  if (state.scale === 'root') at = Math.sign(at) * Math.sqrt(Math.abs(at));
  return 3 * Math.round(255 * (map.signed ? (at + 1) / 2 : at));
}

const table = map => map.signed ? colours.diverging : colours[state.colours];

function paint(canvas, width, height, colourOf) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const [red, green, blue, alpha] = colourOf(i);
    image.data[4 * i] = red;
    image.data[4 * i + 1] = green;
    image.data[4 * i + 2] = blue;
    image.data[4 * i + 3] = alpha;
  }
  context.putImageData(image, 0, 0);
}

function paintMap(canvas, map) {
  const of = table(map);
  const codeColours = Array.from({length: 256}, (_, code) => {
    const at = lookUp(map, Math.max(code, map.signed ? 1 : 0));
    return [of[at], of[at + 1], of[at + 2], 255];
  });
  paint(canvas, map.columns, map.rows, i => codeColours[map.codes[i]]);
  const percent = (position, size) => `${100 * position / size}%`;
  canvas.style.left = percent(centre(map.x, -0.5) + 0.5, page.width);
  canvas.style.top = percent(centre(map.y, -0.5) + 0.5, page.height);
  canvas.style.width = percent(map.x[1] * map.columns, page.width);
  canvas.style.height = percent(map.y[1] * map.rows, page.height);
}

function paintLegend(legend, map) {
  const of = table(map);
  paint(legend.querySelector('canvas'), 256, 1, i => [of[3 * i], of[3 * i + 1], of[3 * i + 2], 255]);
  const ticks = map.signed ? [-1, 0, 1] : [0, state.scale === 'root' ? 0.25 : 0.5, 1];
  legend.querySelector('ol').replaceChildren(...ticks.map(tick => make('li', {text: number(tick * map.peak)})));
}

function number(size) {
  if (!size) return '0';
  return Math.abs(size) >= 0.001 && Math.abs(size) < 10000 ? String(Number(size.toPrecision(3))) : size.toExponential(2);
}

const times = ratio => `${ratio >= 10 ? Math.round(ratio) : ratio.toFixed(1)}\u00a0×\u00a0the\u00a0mean`;
const share = part => part >= 0.01 ? `${Math.round(100 * part)}\u00a0%` : '<\u00a01\u00a0%';
const position = (x, y) => `${Math.round(x)}, ${Math.round(y)}`;

function make(tag, {text, className, style, attributes} = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [name, setting] of Object.entries(style || {})) made.style.setProperty(name, setting);
  for (const [name, setting] of Object.entries(attributes || {})) made.setAttribute(name, setting);
  return made;
}

function bold(node, ...parts) {
  node.replaceChildren(...parts.map((part, i) => i % 2 ? make('b', {text: part}) : part));
}

function put(mark, x, y) {
  mark.style.left = `${100 * (x + 0.5) / page.width}%`;
  mark.style.top = `${100 * (y + 0.5) / page.height}%`;
}

// Stages: the picture, and what lies over it.

const stages = [];

function addStage(node, label, focusable) {
  if (!node.querySelector('img')) {
    node.append(make('img', {attributes: {src: document.querySelector('#picture img').src, alt: '', draggable: 'false'}}));
    node.append(make('canvas', {attributes: {role: 'img', 'aria-label': label}}));
  }
  node.append(make('div', {className: 'mark'}), make('div', {className: 'reading', attributes: {hidden: ''}}));
  if (focusable) {
    for (const [name, setting] of Object.entries({
      tabindex: '0', role: 'application', 'aria-roledescription': 'pixel chooser', 'aria-label': label,
      'aria-describedby': 'how'})) node.setAttribute(name, setting);
  }
  const at = event => {
    const box = node.getBoundingClientRect();
    return [clamp((event.clientX - box.left) / box.width * page.width - 0.5, 0, page.width - 1),
      clamp((event.clientY - box.top) / box.height * page.height - 0.5, 0, page.height - 1)];
  };
  node.addEventListener('pointermove', event => {
    if (event.pointerType === 'touch') return;
    if (state.held) read(...at(event)); else choose(...at(event));
  });
  node.addEventListener('pointerleave', () => { if (!state.readMode) read(null); });
  node.addEventListener('click', event => {
    if (state.readMode) { read(...at(event)); tell(); } else { hold(true); choose(...at(event)); tell(); }
  });
  node.addEventListener('keydown', onKey);
  stages.push(node);
  return node;
}

function onKey(event) {
  const direction = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!direction || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const {x: [, right], y: [, down]} = finestHead().windows[0];
  const step = [direction[0] * right, direction[1] * down];
  hold(true);
  for (let i = 0; i < (event.shiftKey ? 5 : 1); i++) {
    if (state.readMode) read(...oneCell(...state.reading, ...step)); else chooseNext(...step);
  }
  tell();
}

const oneCell = (x, y, right, down) => [clamp(x + right, 0, page.width - 1), clamp(y + down, 0, page.height - 1)];

// Goes cell by cell to the next pixel that has a map; stays where there is none before the edge of the picture.
function chooseNext(right, down) {
  let [x, y] = state.point;
  for (;;) {
    const [nextX, nextY] = oneCell(x, y, right, down);
    if (nextX === x && nextY === y) return;
    [x, y] = [nextX, nextY];
    const sample = nearestSample(finestHead(), x, y);
    if ((sample.x - state.x) * right + (sample.y - state.y) * down > 0) return choose(x, y);
  }
}

// Choosing a pixel, and reading the maps at another.

const finestHead = () => page.heads.reduce((a, b) =>
  b.rows.length * b.columns.length * b.windows.length > a.rows.length * a.columns.length * a.windows.length ? b : a);

function choose(x, y) {
  state.point = [x, y];
  const before = page.heads.map(head => head.sample && head.sample.number);
  for (const head of page.heads) head.sample = nearestSample(head, x, y);
  if (page.heads.every((head, i) => head.sample.number === before[i])) return;
  ({x: state.x, y: state.y} = finestHead().sample);
  element('x').value = Math.round(state.x);
  element('y').value = Math.round(state.y);
  put(document.querySelector('#picture .mark'), state.x, state.y);
  page.heads.forEach(drawHead);
  drawReading();
}

function hold(held) {
  state.held = held;
  document.body.classList.toggle('held', held);
  element('hold').setAttribute('aria-pressed', held);
  if (!held) setReadMode(false);
}

function setReadMode(on) {
  state.readMode = on;
  element('read').setAttribute('aria-pressed', on);
  read(...(on ? [state.x, state.y] : [null]));
}

function read(x, y) {
  state.reading = x === null ? null : [x, y];
  drawReading();
}

function drawHead(head, index) {
  const section = element(`head-${index}`);
  const sample = head.sample;
  const map = mapOf(head, sample);
  const found = statistics(map, sample.window.classes);
  const place = {x: centre(map.x, found.top % map.columns), y: centre(map.y, Math.floor(found.top / map.columns))};
  head.shown = {map, found, place, label: labelAt(head, sample.x, sample.y)};

  const stage = section.querySelector('.map .stage');
  paintMap(stage.querySelector('canvas'), map);
  paintLegend(section.querySelector('.map .legend'), map);
  section.querySelectorAll('.mark').forEach(mark => put(mark, sample.x, sample.y));
  const box = stage.querySelector('.place');
  put(box, place.x, place.y);
  box.style.width = `${100 * map.x[1] / page.width}%`;
  box.style.height = `${100 * map.y[1] / page.height}%`;
  const where = `Where ${position(sample.x, sample.y)} looks by ${head.name}: most at ${summary(head).join('')}`;
  stage.querySelector('canvas').setAttribute('aria-label', where);
  bold(section.querySelector('.prediction .found'), `${position(sample.x, sample.y)}: `, head.classes[head.shown.label]);

  const shown = found.shares.filter(([, part]) => part > 0.005);
  section.querySelector('.shares').replaceChildren(...shown.map(([label, part]) => make('span', {style: {
    width: `${100 * part}%`, background: label < 0 ? 'transparent' : colourOf(head, label)}})));
  section.querySelector('.shares-text').textContent = shown.slice(0, 4).map(([label, part]) =>
    `${label < 0 ? 'outside the picture' : head.classes[label]} ${share(part)}`).join(' · ');
}

// [where, the rest] of what stands out in a head's map.
function summary(head) {
  const {map, found, place} = head.shown;
  const label = labelAt(head, clamp(place.x, 0, page.width - 1), clamp(place.y, 0, page.height - 1));
  const peak = value(map, found.top);
  return [position(place.x, place.y),
    ` (${head.classes[label]}): ${number(peak)}` + (found.mean ? `, ${times(Math.abs(peak) / found.mean)}` : '')];
}

function drawReading() {
  page.heads.forEach((head, index) => {
    const section = element(`head-${index}`);
    const line = section.querySelector('.map .found');
    if (!state.reading) {
      bold(line, 'Looks most at □ ', ...summary(head));
      delete line.dataset.value;
    } else {
      const read = valueAt(head.shown.map, ...state.reading);
      bold(line, `At ${position(...state.reading)} (${head.classes[labelAt(head, ...state.reading)]}): `, valueText(read),
        read !== null && head.shown.found.mean ? `, ${times(Math.abs(read) / head.shown.found.mean)}` : '');
      line.dataset.value = read ?? '';
    }
    if (head.cam && head.cam.rows) {
      const note = section.querySelector('.cam .found');
      const [x, y] = state.reading || [state.x, state.y];
      const read = valueAt(camMap(head), x, y);
      bold(note, `At ${position(x, y)}: `, valueText(read), read === null ? '' : ' of the largest');
    }
  });
  for (const mark of document.querySelectorAll('.reading')) {
    mark.hidden = !state.reading;
    if (state.reading) put(mark, ...state.reading);
  }
}

// Where the config slides, a map ends with its window: beyond it there is no value, and the answer is null.
function valueAt(map, x, y) {
  const [column, row] = [[map.x, x], [map.y, y]].map(([[first, step], at]) => Math.round((at - first) / step));
  const inside = column >= 0 && row >= 0 && column < map.columns && row < map.rows;
  return inside ? value(map, row * map.columns + column) : null;
}

const valueText = value => value === null ? 'outside the window' : number(value);

// What a screen reader says after a click or a key.
function tell() {
  const where = ({sample: {x, y}}) => x === state.x && y === state.y ? '' : `nearest map at ${position(x, y)}, `;
  const said = head => state.reading
    ? `${valueText(valueAt(head.shown.map, ...state.reading))}, ${head.classes[labelAt(head, ...state.reading)]}.`
    : `${where(head)}${head.classes[head.shown.label]}, looks most at ${summary(head).join('')}.`;
  element('status').textContent = [
    state.reading ? `Values at ${position(...state.reading)}.` : `Pixel ${position(state.x, state.y)}.`,
    ...page.heads.map(head => `${head.name}: ${said(head)}`)].join(' ');
}

const colourOf = (head, label) => `rgb(${head.palette[label].join(' ')})`;
const camMap = head => ({...head.cam, peak: 1, signed: false});

// Predictions, which stay as they are.

function drawPrediction(head, index) {
  const section = element(`head-${index}`);
  const {rows, columns, values} = head.labels;
  const rgba = head.palette.map(colour => [...colour, 255]);
  paint(section.querySelector('.prediction canvas'), columns, rows, i => rgba[values[i]]);
  const counts = new Map();
  for (const label of values) counts.set(label, (counts.get(label) || 0) + 1);
  const shares = [...counts].sort((a, b) => b[1] - a[1]).map(([label, count]) => [label, count / values.length]);
  section.querySelector('.classes').replaceChildren(...shares.map(([label, part]) => make('li', {
    text: `${head.classes[label]} ${share(part)}`, style: {'--colour': colourOf(head, label)}})));
  section.querySelector('.prediction canvas').setAttribute('aria-label', `Prediction of ${head.name}: ` +
    shares.map(([label, part]) => `${head.classes[label]} ${share(part)}`).join(', '));
}

function drawCam(head, index) {
  if (!head.cam || !head.cam.rows) return;
  const section = element(`head-${index}`);
  paintMap(section.querySelector('.cam canvas'), camMap(head));
  paintLegend(section.querySelector('.cam .legend'), camMap(head));
}

// Where they are few, the pixels that have maps are shown.
function samplesOf(head) {
  if (head.windows.length * head.rows.length * head.columns.length > 300) return [];
  return head.windows.flatMap(window => head.rows.flatMap(row => head.columns.map(column => {
    const dot = make('div', {className: 'sample'});
    put(dot, centre(window.x, column), centre(window.y, row));
    return dot;
  })));
}

function addRegion(stage, [left, top, right, bottom]) {
  stage.append(make('div', {className: 'region', style: {
    left: `${100 * left / page.width}%`, top: `${100 * top / page.height}%`,
    width: `${100 * (right - left) / page.width}%`, height: `${100 * (bottom - top) / page.height}%`}}));
}

function redraw() {
  page.heads.forEach((head, index) => { drawHead(head, index); drawCam(head, index); });
  drawReading();
}

function connectControls() {
  const setProperty = (name, input) => document.documentElement.style.setProperty(name, input.value / 100);
  element('opacity').addEventListener('input', event => setProperty('--map-opacity', event.target));
  element('prediction-opacity').addEventListener('input', event => setProperty('--prediction-opacity', event.target));
  element('smooth').addEventListener('change', event => document.body.classList.toggle('smooth', event.target.checked));
  element('scale').addEventListener('change', event => { state.scale = event.target.value; redraw(); });
  element('colours').append(...Object.keys(colours).filter(name => name !== 'diverging').map(name =>
    make('option', {text: name, attributes: {value: name}})));
  element('colours').addEventListener('change', event => { state.colours = event.target.value; redraw(); });
  element('hold').addEventListener('click', () => { hold(!state.held); tell(); });
  element('read').addEventListener('click', () => { hold(true); setReadMode(!state.readMode); tell(); });
  const typed = (name, last) => {
    const input = element(name);
    input.value = input.value === '' ? Math.round(state[name]) : clamp(Number(input.value), 0, last);
    return Number(input.value);
  };
  const type = () => {
    hold(true);
    choose(typed('x', page.width - 1), typed('y', page.height - 1));
    tell();
  };
  for (const name of ['x', 'y']) element(name).addEventListener('change', type);
  element('pixel').addEventListener('submit', event => { event.preventDefault(); type(); });
  document.addEventListener('keydown', event => { if (event.key === 'Escape') hold(false); });
  if (matchMedia('(max-width: 52rem)').matches) element('controls').open = false;
}

async function start() {
  connectControls();
  addStage(element('picture'), 'The picture', true);
  page.heads.forEach((head, index) => {
    const section = element(`head-${index}`);
    addStage(section.querySelector('.map .stage'), `Map of ${head.name}`, true)
      .append(make('div', {className: 'place'}), ...samplesOf(head));
    addStage(section.querySelector('.prediction .stage'), `Prediction of ${head.name}`, false);
    if (!head.cam) return;
    const stage = addStage(section.querySelector('.cam .stage'), section.querySelector('.cam figcaption').textContent, false);
    if (head.cam.region) addRegion(stage, head.cam.region);
  });
  await Promise.all(page.heads.map(load));
  page.heads.forEach((head, index) => { drawPrediction(head, index); drawCam(head, index); });
  choose((page.width - 1) / 2, (page.height - 1) / 2);
  tell();
  document.body.dataset.ready = 'true';
}

start().catch(error => {
  element('problem').hidden = false;
  element('problem').textContent = typeof DecompressionStream === 'undefined'
    ? 'This browser cannot unpack the maps: it needs to be of 2023 or newer (Chrome 80, Firefox 113, Safari 16.4).'
    : `The page could not be drawn: ${error}`;
  element('status').textContent = '';
});
