"use strict";
// Asks for the numbers once a second, and shows what has been added since the last time.
const SECONDS = 120, ROWS = 100;
const base = location.pathname.replace(/\/?$/, "/");
const one = (selector) => document.querySelector(selector);
const make = (name, className, text) => {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const sum = (list, value) => list.reduce((all, item) => all + value(item), 0);

const whole = (number) => Math.round(number).toLocaleString("en-US");
const rate = (number) => number < 99.95 ? number.toFixed(number < 9.995 ? 2 : 1).replace(/\.?0+$/, "") : whole(number);
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;
const time = (seconds) =>
  seconds === 0 ? "0" : seconds < 0.001 ? `${rate(seconds * 1e6)} µs` : seconds < 10 ? `${rate(seconds * 1e3)} ms` : `${rate(seconds)} s`;
const duration = (seconds) => {
  const parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const first = parts.findIndex(([unit]) => seconds >= unit);
  if (first < 0) return time(seconds);
  const [big, small] = [parts[first], parts[first + 1]];
  const rest = small ? Math.floor((seconds % big[0]) / small[0]) : 0;
  return `${Math.floor(seconds / big[0])}${big[1]}${rest ? ` ${rest}${small[1]}` : ""}`;
};
const bytes = (number) => {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (number >= 999.5 && unit < units.length - 1) { number /= 1000; unit += 1; }
  return `${rate(number)} ${units[unit]}`;
};
const known = (value, form) => value === null || value === undefined ? "-" : form(value);

// Of a histogram, what was added since an earlier one; the quantile in seconds.
const added = (now, before) => {
  const earlier = new Map(before);
  return now.map(([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)]).filter(([, count]) => count > 0);
};
const quantile = (times, share) => {
  const rank = Math.max(1, Math.ceil(share * sum(times, ([, count]) => count)));
  let seen = 0;
  for (const [bound, count] of times) if ((seen += count) >= rank) return bound / 1e9;
  return 0;
};

class Plot {
  constructor(title, form, most) {
    this.form = form;
    this.most = most;
    this.figure = make("figure");
    this.figure.dataset.plot = title;
    this.legend = make("span", "legend");
    const caption = make("figcaption", "", title);
    caption.append(this.legend);
    const plot = make("div", "plot");
    this.top = make("span", "most", "");
    plot.innerHTML = '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true"></svg>';
    this.svg = plot.firstChild;
    plot.append(this.top, make("span", "least", form(0)));
    const span = make("div", "span");
    span.append(make("span", "", `${duration(SECONDS)} ago`), make("span", "", "now"));
    this.figure.append(caption, plot, span);
    one(".plots").append(this.figure);
  }
  // `series` are names with the values of all samples, `ages` how many seconds ago these were.
  draw(series, ages) {
    const svg = (name, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const top = this.most ?? nice(Math.max(0, ...series.flatMap(({ values }) => values)));
    const lines = [0, 50, 100].map((y) => svg("line", { class: "grid", x1: 0, x2: 100, y1: y, y2: y }));
    series.forEach(({ values }, at) => {
      const x = (index) => 100 - 100 * ages[index] / SECONDS;
      const y = (value) => 100 - 100 * Math.min(1, value / (top || 1));
      const points = values.map((value, index) => `${x(index).toFixed(2)},${y(value).toFixed(2)}`).join(" ");
      lines.push(svg("polyline", { class: `line c${at % 8}`, points }));
    });
    this.svg.replaceChildren(...lines);
    this.top.textContent = this.form(top);
    this.legend.replaceChildren(...series.map(({ name, values }, at) => {
      const entry = make("span", `c${at % 8}`);
      const last = values[values.length - 1] ?? 0;
      entry.append(make("i"), name ? `${name} ${this.form(last)}` : this.form(last));
      return entry;
    }));
  }
}
const nice = (most) => {
  if (most <= 0) return 0;
  const step = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((by) => by * step).find((limit) => limit >= most * 0.999);
};

const plots = {
  requests: new Plot("Requests/s", rate),
  connections: new Plot("Connections", whole),
  busy: new Plot("Busy, by shard", percent, 1),
  lag: new Plot("Lag p99, by shard", time),
  wait: new Plot("Pool wait p99, by lane", time),
  memory: new Plot("Memory", bytes),
};
let before = null;
const samples = [];

const compare = (now, then) => {
  const passed = now.uptime - then.uptime;
  const shards = now.shards.map((shard, at) => {
    const old = then.shards[at];
    const [busy, idle] = [shard.busy - old.busy, shard.idle - old.idle];
    const lag = added(shard.lag, old.lag);
    // A turn counts when it is over.
    const blocked = Math.min(1, (shard.turn ?? 0) / passed);
    return {
      shard, busy: Math.max(busy + idle > 0 ? busy / (busy + idle) : 0, blocked), turns: (shard.turns - old.turns) / passed,
      requests: (shard.requests - old.requests) / passed, p50: quantile(lag, 0.5), p99: quantile(lag, 0.99),
      longest: Math.max(quantile(lag, 1), shard.turn > 0.1 ? shard.turn : 0),
    };
  });
  const lanes = now.lanes.map((lane, at) => {
    const [wait, run] = [added(lane.wait, then.lanes[at].wait), added(lane.run, then.lanes[at].run)];
    return {
      lane, jobs: (lane.finished - then.lanes[at].finished) / passed, wait: quantile(wait, 0.99),
      run: quantile(run, 0.99),
    };
  });
  const failed = (snapshot) => sum(snapshot.shards, (shard) => shard.responses[4]);
  return {
    at: now.uptime, shards, lanes, requests: sum(shards, (shard) => shard.requests),
    connections: sum(now.shards, (shard) => shard.connections), memory: now.process.resident_bytes ?? 0,
    cpu: ((now.process.cpu ?? 0) - (then.process.cpu ?? 0)) / passed, failed: (failed(now) - failed(then)) / passed,
  };
};

const table = (selector, heads, rows) => {
  const head = make("tr");
  head.append(...heads.map(([text, isText]) => make("th", isText ? "text" : "", text)));
  const body = rows.map((cells) => {
    const row = make("tr");
    row.append(...cells.map((text, at) => make("td", heads[at][1] ? "text" : "", text)));
    return row;
  });
  const element = one(selector);
  element.tHead.replaceChildren(head);
  element.tBodies[0].replaceChildren(...body);
};

const show = (now, last) => {
  const process = now.process;
  one("#about").textContent =
    `process ${process.id}, lakh ${now.version}, up for ${duration(now.uptime)}, ${now.shards.length} shards`;
  const tile = (name, value, small = "", isBad = false) => {
    const element = make("div");
    element.append(make("span", "", name), make("b", isBad ? "bad" : "", value), " ", make("small", "", small));
    return element;
  };
  const stalls = sum(now.shards, (shard) => shard.stalls);
  one(".tiles").replaceChildren(
    tile("requests/s", rate(last.requests), `${whole(sum(now.shards, (shard) => shard.requests))} in all`),
    tile("connections", whole(last.connections), `${whole(sum(now.shards, (shard) => shard.accepted))} accepted`),
    tile("in flight", whole(sum(now.shards, (shard) => shard.in_flight))),
    tile("5xx/s", rate(last.failed), "", last.failed > 0),
    tile("CPU", percent(last.cpu), `${duration(process.cpu ?? 0)} in all`),
    tile("memory", known(process.resident_bytes, bytes)),
    tile("descriptors", known(process.open_descriptors, whole), `of ${known(process.max_descriptors, whole)}`),
    tile("stalls", whole(stalls), "", stalls > 0),
  );
  const ages = samples.map((sample) => last.at - sample.at);
  const each = (list, name, value) =>
    list.map((item, at) => ({ name: name(item), values: samples.map((sample) => value(sample, at)) }));
  plots.requests.draw([{ name: "", values: samples.map((sample) => sample.requests) }], ages);
  plots.connections.draw([{ name: "", values: samples.map((sample) => sample.connections) }], ages);
  plots.memory.draw([{ name: "", values: samples.map((sample) => sample.memory) }], ages);
  plots.busy.draw(each(now.shards, (shard) => String(shard.shard), (sample, at) => sample.shards[at].busy), ages);
  plots.lag.draw(each(now.shards, (shard) => String(shard.shard), (sample, at) => sample.shards[at].p99), ages);
  plots.wait.draw(each(now.lanes, (lane) => lane.name, (sample, at) => sample.lanes[at].wait), ages);
  table("#shards",
    [["shard"], ["busy"], ["lag p50"], ["p99"], ["longest"], ["turns/s"], ["requests/s"], ["connections"], ["in flight"],
      ["tasks"], ["sources"], ["timers"], ["panics"], ["stalls"]],
    last.shards.map(({ shard, busy, p50, p99, longest, turns, requests }) => [
      shard.shard, percent(busy), time(p50), time(p99), time(longest), rate(turns), rate(requests),
      whole(shard.connections), whole(shard.in_flight), whole(shard.tasks), whole(shard.sources), whole(shard.timers),
      whole(shard.panics), whole(shard.stalls),
    ]));
  table("#lanes",
    [["lane", true], ["workers", true], ["queued"], ["running"], ["oldest"], ["jobs/s"], ["wait p99"], ["run p99"], ["finished"],
      ["refused"], ["taken back"], ["panicked"]],
    last.lanes.map(({ lane, jobs, wait, run }) => [
      lane.name, lane.kind, whole(lane.queued), whole(lane.running), known(lane.oldest, time), rate(jobs), time(wait),
      time(run), whole(lane.finished), whole(lane.refused), whole(lane.cancelled), whole(lane.panicked),
    ]));
  table("#stalls", [["when", true], ["shard", true], ["what", true], ["found after"]],
    now.stalls.toReversed().map((stall) =>
      [`${duration(stall.ago)} ago`, stall.shard, stall.name ?? "no name", time(stall.lasted)]));
  one("#stalled").hidden = now.stalls.length === 0;
  const select = one("#shard");
  if (select.options.length !== now.shards.length) {
    select.replaceChildren(...now.shards.map(({ shard }) => {
      const option = make("option", "", shard);
      option.value = shard;
      return option;
    }));
  }
};

const ask = async (path) => {
  const answer = await fetch(base + path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
};

const look = async () => {
  try {
    const now = await ask("snapshot");
    // Another process, or none before.
    if (before && (now.process.id !== before.process.id || now.uptime < before.uptime)) {
      before = null;
      samples.length = 0;
    }
    if (before) {
      samples.push(compare(now, before));
      while (now.uptime - samples[0].at > SECONDS) samples.shift();
      show(now, samples[samples.length - 1]);
    }
    before = now;
    one("#state").textContent = "";
  } catch (error) {
    one("#state").textContent = `no answer: ${error.message}`;
  }
  setTimeout(look, 1000);
};

let asking = 0;
const inspect = async () => {
  const [shard, what] = [one("#shard").value || 0, one("#what").value];
  const number = ++asking;
  let text, rows = [];
  try {
    const page = await ask(`inspect?shard=${shard}&what=${what}&limit=${ROWS}`);
    rows = page.items;
    text = `${whole(rows.length)} of ${whole(page.total)}`;
  } catch (error) {
    text = error.message;
  }
  if (number !== asking) return;
  one("#found").textContent = text;
  table("#handles", [["type", true], ["what", true], ["here", true], ["peer", true], ["age"], ["due in"], ["a drain waits"]],
    rows.map((row) => [
      row.kind, row.name ?? "", row.local ?? row.path ?? "", row.peer ?? "", known(row.age, duration),
      known(row.due, duration), row.keeps_alive ? "yes" : "no",
    ]));
};
const follow = async () => {
  if (!document.hidden) await inspect();
  setTimeout(follow, 2000);
};
one("form").addEventListener("change", inspect);
look();
follow();
