'use strict';

const byId = (id) => document.getElementById(id);
const grouped = new Intl.NumberFormat('en');

// The field of dots: one for each connection, lit while it answers.

const CONNECTIONS = 100000;
const FADE_MS = 700;
const SHADES = 16;

class DotField {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext('2d', { alpha: false });
    this.lit = new Map(); // connection -> when it answered
    this.layOut();
  }

  // Dots are whole pixels of the screen, as large as lets all of them fit. A lit one fills its gap as well.
  layOut() {
    const scale = window.devicePixelRatio || 1;
    const width = Math.floor(this.canvas.parentElement.clientWidth * scale) - Math.ceil(40 * scale);
    const height = Math.min(900, Math.max(420, window.innerHeight * 0.72)) * scale;
    this.pitch = Math.max(2, Math.round(Math.sqrt((width * height) / CONNECTIONS)));
    this.columns = Math.floor(width / this.pitch);
    this.canvas.width = this.columns * this.pitch;
    this.canvas.height = Math.ceil(CONNECTIONS / this.columns) * this.pitch;
    this.canvas.style.width = `${this.canvas.width / scale}px`;
    this.canvas.style.marginInline = 'auto';
    this.paintAll();
  }

  paintAll() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => this.parse(style.getPropertyValue(name));
    const [idle, lit] = [colour('--idle'), colour('--lit')];
    const shade = (part) => idle.map((from, i) => Math.round(from + (lit[i] - from) * part));
    this.shades = Array.from({ length: SHADES + 1 }, (_, i) => `rgb(${shade(i / SHADES).join(' ')})`);
    this.ground = style.getPropertyValue('--ground');
    this.pen.fillStyle = this.ground;
    this.pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.pen.fillStyle = this.shades[0];
    for (let dot = 0; dot < CONNECTIONS; dot += 1) this.paint(dot, this.dotSize());
  }

  parse(hex) {
    return [1, 3, 5].map((at) => parseInt(hex.trim().slice(at, at + 2), 16));
  }

  dotSize() {
    return this.pitch > 3 ? this.pitch - 2 : this.pitch - 1;
  }

  paint(dot, size) {
    this.pen.fillRect((dot % this.columns) * this.pitch, Math.floor(dot / this.columns) * this.pitch, size, size);
  }

  answer(count, now) {
    for (let i = 0; i < count; i += 1) this.lit.set(Math.floor(Math.random() * CONNECTIONS), now);
  }

  fade(now) {
    for (const [dot, since] of this.lit) {
      const left = Math.max(0, 1 - (now - since) / FADE_MS);
      this.pen.fillStyle = left > 0 ? this.shades[Math.ceil(left * SHADES)] : this.ground;
      this.paint(dot, this.pitch);
      if (left === 0) this.putOut(dot);
    }
  }

  putOut(dot) {
    this.lit.delete(dot);
    this.pen.fillStyle = this.shades[0];
    this.paint(dot, this.dotSize());
  }

  dotAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    const column = Math.floor(((event.clientX - box.left) * scale) / this.pitch);
    const row = Math.floor(((event.clientY - box.top) * scale) / this.pitch);
    const dot = row * this.columns + column;
    return column >= 0 && column < this.columns && dot >= 0 && dot < CONNECTIONS ? dot : null;
  }
}

function startDots(canvas) {
  const field = new DotField(canvas);
  const [slider, shown, pause] = [byId('rate'), byId('rate-now'), byId('pause')];
  let rate = 0;
  let owed = 0;
  let last = performance.now();
  let running = !window.matchMedia('(prefers-reduced-motion: reduce)').matches;

  // From 10 to 50,000 requests a second, in equal ratios, to two digits.
  const readRate = () => {
    rate = Number((10 * 5000 ** (slider.value / 100)).toPrecision(2));
    shown.textContent = grouped.format(rate);
  };
  const frame = (now) => {
    if (!running) return;
    owed += (rate * Math.min(now - last, 100)) / 1000;
    last = now;
    field.answer(Math.floor(owed), now);
    owed %= 1;
    field.fade(now);
    requestAnimationFrame(frame);
  };
  const showRunning = () => {
    pause.textContent = running ? 'Pause' : 'Play';
    if (!running) return;
    last = performance.now();
    requestAnimationFrame(frame);
  };

  // Without motion there is still a picture: one moment of the traffic.
  const still = () => {
    const now = performance.now();
    field.answer(rate * (FADE_MS / 1000), now);
    field.fade(now);
  };

  slider.addEventListener('input', readRate);
  pause.addEventListener('click', () => {
    running = !running;
    showRunning();
  });
  canvas.addEventListener('pointermove', (event) => {
    const dot = field.dotAt(event);
    if (dot === null) return;
    const doing = field.lit.has(dot) ? 'answering' : 'waiting';
    byId('dot-now').textContent = `Connection ${grouped.format(dot + 1)} is ${doing}.`;
  });
  let width = window.innerWidth; // the height changes on every scroll of a phone
  window.addEventListener('resize', () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    field.layOut();
  });
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => field.paintAll());

  byId('traffic').addEventListener('submit', (event) => event.preventDefault());
  readRate();
  if (!running) still();
  showRunning();
}

// The gaps between primes.

const MOST_GAPS = 30;

async function showGaps(figure) {
  const answer = await fetch(figure.dataset.primes);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const primes = (await answer.text()).trim().split('\n').map(Number);
  const counts = new Map();
  let widest = { gap: 0, after: 2 };
  for (let i = 2; i < primes.length; i += 1) {
    const gap = primes[i] - primes[i - 1];
    counts.set(gap, (counts.get(gap) || 0) + 1);
    if (gap > widest.gap) widest = { gap, after: primes[i - 1] };
  }
  drawBars(figure.querySelector('svg'), counts);
  fillTable(counts, primes.length - 2);
  byId('gaps-now').textContent =
    `${grouped.format(primes.length)} primes, the last ${grouped.format(primes.at(-1))}. ` +
    `The widest gap is ${widest.gap}, after ${grouped.format(widest.after)}.`;
}

function drawBars(svg, counts) {
  const [width, height, foot] = [720, 360, 30];
  const most = Math.max(...counts.values());
  const step = width / MOST_GAPS;
  const add = (name, attributes, text) => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.textContent = text;
    return element;
  };
  for (let i = 0; i < MOST_GAPS; i += 1) {
    const gap = 2 * (i + 1);
    const tall = ((counts.get(gap) || 0) / most) * (height - foot - 10);
    const kind = gap % 6 === 0 ? 'six' : 'other';
    const bar = add('rect', { x: i * step + 2, y: height - foot - tall, width: step - 4, height: tall, class: kind });
    bar.append(add('title', {}, `${gap}: ${grouped.format(counts.get(gap) || 0)} times`));
    svg.append(bar);
    if (kind === 'six') {
      svg.append(add('text', { x: (i + 0.5) * step, y: height - 10, 'text-anchor': 'middle' }, String(gap)));
    }
  }
  svg.append(add('line', { x1: 0, x2: width, y1: height - foot, y2: height - foot }));
}

function fillTable(counts, total) {
  const rows = [...counts].sort(([a], [b]) => a - b).slice(0, MOST_GAPS);
  for (const [gap, count] of rows) {
    const row = byId('gaps-table').insertRow();
    const head = document.createElement('th');
    head.scope = 'row';
    head.textContent = gap;
    row.append(head);
    for (const text of [grouped.format(count), `${((100 * count) / total).toFixed(1)} %`]) {
      const cell = row.insertCell();
      cell.className = 'number';
      cell.textContent = text;
    }
  }
}

async function showTail(button) {
  const asked = 'bytes=-40';
  const answer = await fetch(button.dataset.file, { headers: { Range: asked }, cache: 'no-store' });
  if (answer.status !== 206) {
    answer.body?.cancel();
    return `Range: ${asked}\n\n${answer.status}: this server sends the whole file.`;
  }
  return `Range: ${asked}\n\n206\nContent-Range: ${answer.headers.get('content-range')}\n\n${await answer.text()}`;
}

// What the server says about a file.

const TOLD = ['content-type', 'content-length', 'last-modified', 'etag', 'cache-control', 'vary', 'accept-ranges', 'server'];

async function askAbout(file) {
  const first = await fetch(file, { method: 'HEAD', cache: 'no-store' });
  const lines = TOLD.filter((name) => first.headers.has(name)).map((name) => `${name}: ${first.headers.get(name)}`);
  const etag = first.headers.get('etag');
  const said = [`HEAD ${new URL(file, location).pathname}`, '', `${first.status} ${first.statusText}`.trim(), ...lines];
  if (!first.ok || !etag) return said.join('\n');
  const second = await fetch(file, { method: 'HEAD', cache: 'no-store', headers: { 'If-None-Match': etag } });
  return [...said, '', `If-None-Match: ${etag}`, '', `${second.status} ${second.statusText}`.trim()].join('\n');
}

async function showIn(place, control, answer) {
  control.disabled = true;
  try {
    place.textContent = await answer();
  } catch (error) {
    place.textContent = `That did not work: ${error.message}.`;
  } finally {
    control.disabled = false;
  }
}

function start() {
  const [dots, gaps, tail, ask] = [byId('dots'), byId('gaps'), byId('tail'), byId('ask')];
  if (dots) startDots(dots);
  if (gaps) {
    showGaps(gaps).catch((error) => {
      byId('gaps-now').textContent = `The file could not be read: ${error.message}.`;
    });
  }
  tail?.addEventListener('click', () => showIn(byId('tail-answer'), tail, () => showTail(tail)));
  ask?.addEventListener('submit', (event) => {
    event.preventDefault();
    showIn(byId('ask-answer'), ask.querySelector('button'), () => askAbout(byId('file').value));
  });
}

start();
