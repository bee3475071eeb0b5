// Draws what the server tells. Everything from outside becomes text, never markup.
const byId = (id) => document.getElementById(id);
const state = byId('state');
const svg = (name, attributes) => {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

const time = (seconds) => {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
};
const number = (value) => value.toLocaleString('en');
const size = (bytes) => {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit += 1) bytes /= 1024;
  return `${bytes.toFixed(unit && bytes < 100 ? 1 : 0)} ${units[unit]}`;
};

// Rates: a line for each, over the last minute.
const POINTS = 120;
const rates = ['created', 'lapsed', 'evicted', 'destroyed'].map((name) => {
  const row = document.createElement('div');
  row.className = 'rate';
  const label = document.createElement('span');
  label.textContent = name;
  const value = document.createElement('span');
  value.className = 'number';
  value.id = `rate-${name}`;
  const picture = svg('svg', { viewBox: `0 0 ${POINTS} 30`, preserveAspectRatio: 'none' });
  const line = svg('polyline', { points: '' });
  picture.append(line);
  row.append(label, picture, value);
  byId('rates').append(row);
  return { name, value, line, history: [] };
});

const drawRates = (view) => {
  for (const rate of rates) {
    rate.history.push(view.fresh[rate.name] / view.elapsed);
    if (rate.history.length > POINTS) rate.history.shift();
    const most = Math.max(1, ...rate.history);
    const first = POINTS - rate.history.length;
    const points = rate.history.map((value, at) => `${first + at + 0.5},${28 - (26 * value) / most}`);
    rate.line.setAttribute('points', points.join(' '));
    rate.value.textContent = rate.history.at(-1).toFixed(1);
  }
};

// Live sessions by idle time: a bar for each class.
let bars = [];
const drawIdle = (view) => {
  if (bars.length === 0) {
    bars = view.idle.map(() => {
      const bar = document.createElement('div');
      byId('idle').append(bar);
      return bar;
    });
  }
  const most = Math.max(1, ...view.idle);
  view.idle.forEach((count, at) => {
    bars[at].style.height = `${(100 * count) / most}%`;
    bars[at].title = `${number(count)} sessions`;
  });
  byId('timeout').textContent = time(view.idle_timeout);
};

const drawSessions = (view) => {
  const rows = view.sessions.map((session) => {
    const row = document.createElement('tr');
    const cell = (text, kind) => {
      const cell = row.insertCell();
      cell.textContent = text;
      if (kind) cell.className = kind;
    };
    cell(session.tag, 'tag');
    cell(session.owner ?? 'anonymous', session.owner ? '' : 'hint');
    cell(time(session.age), 'number');
    cell(time(session.idle), 'number');
    cell(time(session.left), 'number');
    return row;
  });
  byId('sessions').replaceChildren(...rows);
};

const MOST_EVENTS = 25;
const tell = (kind, text) => {
  const line = document.createElement('li');
  const name = document.createElement('span');
  name.className = `kind ${kind.replace(' ', '-')}`;
  name.textContent = kind;
  line.append(name, ` ${text}`);
  const list = byId('events');
  list.prepend(line);
  while (list.children.length > MOST_EVENTS) list.lastChild.remove();
};

const source = new EventSource('/sessions/events');
source.addEventListener('view', (message) => {
  const view = JSON.parse(message.data);
  state.textContent = 'As it happens.';
  for (const id of ['live', 'anonymous', 'owners', 'refused_writes', 'unknown_ids']) {
    byId(id).textContent = number(view[id]);
  }
  byId('bytes').textContent = size(view.bytes);
  drawRates(view);
  drawIdle(view);
  drawSessions(view);
});
source.addEventListener('line', (message) => {
  const line = JSON.parse(message.data);
  tell(line.kind, line.owner ? `${line.tag} · ${line.owner}` : line.tag);
});
source.addEventListener('missed', (message) => tell('…', `${number(+message.data)} more`));
source.addEventListener('error', () => {
  state.textContent = source.readyState === EventSource.CLOSED
    ? 'The operator’s session has ended: log in again.'
    : 'The stream broke off. Connecting again …';
});
