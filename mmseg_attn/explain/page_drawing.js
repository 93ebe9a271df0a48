// Drawing: from the state to what is seen. Changes nothing in it but what a head shows.

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

const colourOf = (head, label) => `rgb(${head.palette[label].join(' ')})`;
const valueText = value => value === null ? 'outside the window' : number(value);

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
  page.heads.forEach((head, index) => {
    if (!head.scales) return;
    const at = state.reading || [state.x, state.y];
    bold(element(`head-${index}`).querySelector('.scales .found'), `Weights at ${position(...at)}: `, scalesText(head, ...at));
  });
  for (const mark of document.querySelectorAll('.reading')) {
    mark.hidden = !state.reading;
    if (state.reading) put(mark, ...state.reading);
  }
}

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

// Which scale decides: the one that weighs most, each in its colour, or the weights of one.

const scaleColour = (head, scale) => `rgb(${head.scales.colours[scale].join(' ')})`;

function drawScales(head, index) {
  if (!head.scales) return;
  const section = element(`head-${index}`);
  const {names, colours: of, rows, columns, shown} = head.scales;
  const canvas = section.querySelector('.scales .stage canvas');
  const legend = section.querySelector('.scales .legend');
  legend.hidden = !shown;
  if (shown) {
    paintMap(canvas, scaleMap(head, Number(shown)));
    paintLegend(legend, scaleMap(head, Number(shown)));
  } else {
    paint(canvas, columns, rows, i => [...of[largest(weightsAt(head, i))], 255]);
  }
  const sums = names.map(() => 0), most = names.map(() => 0);
  for (let i = 0; i < rows * columns; i++) {
    const weights = weightsAt(head, i);
    weights.forEach((weight, scale) => { sums[scale] += weight; });
    most[largest(weights)] += 1;
  }
  const said = names.map((name, scale) =>
    `${name}: ${share(most[scale] / rows / columns)} of the pixels, mean weight ${share(sums[scale] / rows / columns)}`);
  section.querySelector('.scales .classes').replaceChildren(...said.map((text, scale) =>
    make('li', {text, style: {'--colour': scaleColour(head, scale)}})));
  canvas.setAttribute('aria-label', (shown ? `Weight of the scale ${names[shown]}` : 'The scale that weighs most') +
    ` in ${head.name}: ${said.join('; ')}`);
}

const scalesText = (head, x, y) => weightsOf(head, x, y).map((weight, scale) =>
  `${head.scales.names[scale]}: ${share(weight)}`).join(' · ');

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
  page.heads.forEach((head, index) => { drawHead(head, index); drawCam(head, index); drawScales(head, index); });
  drawReading();
}
