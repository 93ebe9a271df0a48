// Input: what the mouse, the keys and the controls do to the state, and what is said of it.

// Stages: the picture, and what lies over it.

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

// What a screen reader says after a click or a key.
function tell() {
  const where = ({sample: {x, y}}) => x === state.x && y === state.y ? '' : `nearest map at ${position(x, y)}, `;
  const said = head => state.reading
    ? `${valueText(valueAt(head.shown.map, ...state.reading))}, ${head.classes[labelAt(head, ...state.reading)]}.`
    : `${where(head)}${head.classes[head.shown.label]}, looks most at ${summary(head).join('')}.`;
  element('status').textContent = [
    state.reading ? `Values at ${position(...state.reading)}.` : `Pixel ${position(state.x, state.y)}.`,
    ...page.heads.map(head => `${head.name}: ${said(head)}${head.scales ? ` Scales: ${scalesText(head, ...(state.reading || [state.x, state.y]))}.` : ''}`),
  ].join(' ');
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

function chooseScale(head, index) {
  const select = element(`scale-shown-${index}`);
  head.scales.shown = '';
  select.append(...head.scales.names.map((name, scale) =>
    make('option', {text: `the weight of scale ${name}`, attributes: {value: scale}})));
  select.addEventListener('change', () => { head.scales.shown = select.value; drawScales(head, index); });
}

async function start() {
  connectControls();
  addStage(element('picture'), 'The picture', true);
  page.heads.forEach((head, index) => {
    const section = element(`head-${index}`);
    addStage(section.querySelector('.map .stage'), `Map of ${head.name}`, true)
      .append(make('div', {className: 'place'}), ...samplesOf(head));
    addStage(section.querySelector('.prediction .stage'), `Prediction of ${head.name}`, false);
    if (head.scales) {
      addStage(section.querySelector('.scales .stage'), `Which scale decides in ${head.name}`, false);
      chooseScale(head, index);
    }
    if (!head.cam) return;
    const stage = addStage(section.querySelector('.cam .stage'), section.querySelector('.cam figcaption').textContent, false);
    if (head.cam.region) addRegion(stage, head.cam.region);
  });
  await Promise.all(page.heads.map(load));
  page.heads.forEach((head, index) => { drawPrediction(head, index); drawCam(head, index); drawScales(head, index); });
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
