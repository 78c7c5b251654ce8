"use strict";
// Names come from remotes: they are only set as text.
const SIZE = 200;
const EVERY = 2000;
const MINUTE = 60000;
const SHOWN_ROWS = 8;
// The parts that show the last answer.
const PARTS = ["program", "waiting", "addresses", "dry-run", "detail", "tree"];
const $ = (id) => document.getElementById(id);
const here = location.pathname.endsWith("/") ? location.pathname : location.pathname + "/";
// The names of resources in the answer, and in limits files.
const RESOURCES = [
  ["memory", "Memory"], ["fd", "FD"],
  ["conns", "Conns"], ["conns-inbound", "ConnsInbound"], ["conns-outbound", "ConnsOutbound"],
  ["streams", "Streams"], ["streams-inbound", "StreamsInbound"], ["streams-outbound", "StreamsOutbound"],
];
const FIELDS = new Map(RESOURCES);
const CLASSES = {
  "service": "services", "service-peer": "peers' shares of services", "protocol": "protocols",
  "protocol-peer": "peers' shares of protocols", "peer": "peers", "conn": "each connection",
  "stream": "each stream", "span": "spans",
};
let offset = 0;
let asked = new AbortController();
let answered = "";
let drawn = "";
let timer;
// The last minute of each scope that was shown: usage and refusals.
const histories = new Map();
// The cards that are shown, by name, so that a card that has not changed stays as it is.
let cards = new Map();
let layout = "";
let before = null;

function element(tag, kind, text) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Sets a text only if it is another one: what has not changed stays selected, and is not read out.
function put(id, text, kind = "") {
  const of = $(id);
  if (of.textContent !== text) of.textContent = text;
  if (of.className !== kind) of.className = kind;
}

// Three significant digits, without decimals if the number is whole.
function digits(number) {
  if (Number.isInteger(number)) return String(number);
  return number.toFixed(number < 0.9995 ? 3 : number < 9.995 ? 2 : number < 99.95 ? 1 : 0);
}

function scaled(number, step, units) {
  let at = 0;
  number /= step;
  while (number >= 999.5 && at + 1 < units.length) { number /= step; at += 1; }
  return digits(number) + units[at];
}

function count(number) {
  if (number < 10000) return number.toLocaleString("en");
  return scaled(number, 1000, ["k", "M", "G", "T", "P", "E"]);
}

function size(bytes) {
  if (bytes < 1024) return count(bytes) + " B";
  return scaled(bytes, 1024, [" KiB", " MiB", " GiB", " TiB", " PiB", " EiB"]);
}

function amount(resource, number) {
  return resource === "memory" ? size(number) : count(number);
}

// A rate that is not zero is never shown as zero.
function rate(number) {
  if (number <= 0) return "0/s";
  if (number < 0.05) return "<0.1/s";
  return (number < 9.95 ? number.toFixed(1) : count(Math.round(number))) + "/s";
}

// Below the limit it never shows 100 %.
function percent(part) {
  const whole = part < 1 ? Math.min(Math.floor(part * 100), 99) : Math.round(part * 100);
  return (whole > 9999 ? ">9999" : whole) + " %";
}

function time(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([length]) => seconds >= length);
  if (first < 0) return "0 s";
  const [length, unit] = units[first];
  const whole = Math.floor(seconds / length) + " " + unit;
  if (first + 1 >= units.length - 1) return whole;
  const [less, part] = units[first + 1];
  return whole + " " + Math.floor(seconds % length / less) + " " + part;
}

function used(scope, resource) {
  const of = scope.used;
  if (resource === "conns") return of["conns-inbound"] + of["conns-outbound"];
  if (resource === "streams") return of["streams-inbound"] + of["streams-outbound"];
  return of[resource];
}

function sum(counters) {
  return Object.values(counters ?? {}).reduce((sum, count) => sum + count, 0);
}

function level(part) {
  return part >= 0.95 ? "full" : part >= 0.75 ? "high" : "";
}

// The kind of the scope, or the scope that it is a share of, comes before its own name. Each is isolated,
// so that characters that change the text direction affect no other text.
function name(text, parent) {
  const made = element("span", "name");
  const share = parent && text.startsWith(parent + ".peer:");
  const own = share ? parent.length + ".peer:".length : text.indexOf(":") + 1;
  if (own > 0) made.append(element("bdi", "of", text.slice(0, own)));
  made.append(element("bdi", "", text.slice(own)));
  return made;
}

// A link to the page of a scope.
function link(text, parent) {
  const made = element("a");
  made.href = "?scope=" + encodeURIComponent(text);
  made.append(name(text, parent));
  return made;
}

function remember(scope, now) {
  const points = histories.get(scope.name) ?? [];
  const refused = sum(scope.refusals);
  const last = points.at(-1);
  const passed = last ? (now - last.at) / 1000 : 0;
  // The server may have been started again, and then counts from zero.
  const per = passed > 0 ? Math.max(refused - last.refused, 0) / passed : 0;
  const usage = scope.utilisation ?? used(scope, "memory");
  points.push({ at: now, usage, limited: scope.utilisation !== null, refused, per });
  while (points[0].at < now - MINUTE) points.shift();
  histories.set(scope.name, points);
}

function rateOf(scope) {
  return histories.get(scope.name)?.at(-1)?.per ?? 0;
}

// Usage as a share of the fullest limit, or of the highest usage if there is no limit; and refusals.
function minute(scope) {
  const made = $("minute").content.firstElementChild.cloneNode(true);
  drawMinute(made, scope.name);
  return made;
}

function drawMinute(svg, of) {
  const points = histories.get(of) ?? [];
  if (points.length === 0) return;
  const now = points.at(-1).at;
  const limited = points.at(-1).limited;
  const top = limited ? 1 : Math.max(...points.map((point) => point.usage), 1);
  const x = (point) => (60 - (now - point.at) / 1000).toFixed(2);
  const y = (point) => (19.5 - 19 * Math.min(point.usage / top, 1)).toFixed(2);
  const line = points.map((point) => "L" + x(point) + " " + y(point)).join("");
  const [usage, refusals] = svg.children;
  usage.setAttribute("d", "M" + x(points[0]) + " 20" + line + "V20Z");
  const most = Math.max(...points.map((point) => point.per));
  const bars = points.slice(1).map((point, at) => {
    const height = Math.max(10 * point.per / most, 1);
    return point.per > 0 ? "M" + x(points[at]) + " 20V" + (20 - height).toFixed(2) + "H" + x(point) + "V20Z" : "";
  });
  refusals.setAttribute("d", bars.join(""));
  const highest = Math.max(...points.map((point) => point.usage));
  const text = limited ? "highest " + percent(highest) + " of a limit" : "highest memory " + size(highest);
  svg.setAttribute("aria-label", "last minute: " + text + ", up to " + rate(most) + " refused");
}

function bar(scope, resource, field) {
  const [now, limit] = [used(scope, resource), scope.limit[resource]];
  const part = Math.min(now / Math.max(limit, 1), 1);
  const made = element("div", "bar " + level(part));
  const words = element("div", "words");
  const text = amount(resource, now) + " of " + amount(resource, limit);
  words.append(element("span", "", field), element("span", "amount", text));
  const track = element("div", "track");
  if (part > 0) {
    const fill = element("div", "fill");
    fill.style.width = part * 100 + "%";
    track.append(fill);
  }
  made.append(words, track);
  return made;
}

// The most important fact comes first.
function facts(scope) {
  const made = element("span", "facts");
  if (scope.utilisation !== null) {
    const text = percent(scope.utilisation) + " of " + FIELDS.get(scope.fullest);
    made.append(element("span", level(scope.utilisation), text));
  }
  const refused = sum(scope.refusals);
  if (refused > 0) {
    const now = rateOf(scope);
    made.append(element("span", "refused", "refused " + count(refused) + (now > 0 ? ", " + rate(now) : "")));
  }
  const would = sum(scope.dry_run_refusals);
  if (would > 0) made.append(element("span", "high", "dry run " + count(would)));
  if (scope.peak.memory > 0) made.append(element("span", "", "Memory peak " + size(scope.peak.memory)));
  return made;
}

function card(scope) {
  const made = element("div", "scope");
  const title = element("div", "title");
  const right = element("span", "side");
  right.append(facts(scope), minute(scope));
  title.append(link(scope.name, scope.parent), right);
  const bars = element("div", "bars");
  const free = [];
  for (const [resource, field] of RESOURCES) {
    if (typeof scope.limit[resource] === "number") bars.append(bar(scope, resource, field));
    // Without a limit only used resources are shown, by direction.
    else if (used(scope, resource) > 0 && resource !== "conns" && resource !== "streams")
      free.push(field + " " + amount(resource, used(scope, resource)));
  }
  made.append(title, bars);
  if (free.length) made.append(element("div", "free", "no limit: " + free.join(", ")));
  return made;
}

// The scopes as a tree: each under its parent. If the parent is on another page, only its name is shown.
// Scopes without a limit are folded into one line, if those closest to a limit are wanted.
function arrange(scopes) {
  const byName = new Map();
  const entries = scopes.map((scope, at) => {
    const entry = { name: scope.name, key: scope.name, scope, children: [] };
    // Cut names may be equal: each has its own entry, and the children are under the first one.
    if (byName.has(entry.name)) entry.key += "\0" + at;
    else byName.set(entry.name, entry);
    return entry;
  });
  let roots = [];
  for (const entry of entries) {
    const above = entry.scope.parent;
    if (above === null) { roots.push(entry); continue; }
    if (!byName.has(above)) {
      const absent = { name: above, key: above, scope: null, children: [] };
      byName.set(above, absent);
      roots.push(absent);
    }
    byName.get(above).children.push(entry);
  }
  const folded = [];
  const folds = $("sort").value === "utilisation" && $("search").value === "" && scopeName() === null
    && scopes.some((scope) => scope.utilisation !== null);
  const keep = (list) => list.filter((entry) => {
    const isFree = folds && entry.scope?.utilisation === null && sum(entry.scope.refusals) === 0;
    entry.children = keep(entry.children);
    if (!isFree || entry.children.length) return true;
    folded.push(entry);
    return false;
  });
  roots = keep(roots);
  return { entries, roots, folded };
}

function draw(scopes) {
  const { entries, roots, folded } = arrange(scopes);
  const next = new Map();
  const changed = [];
  for (const { key, scope } of entries) {
    const json = JSON.stringify(scope) + rateOf(scope);
    const shown = cards.get(key);
    if (shown?.json === json) {
      drawMinute(shown.card.querySelector("svg"), scope.name);
      next.set(key, shown);
    } else {
      const made = { json, card: card(scope) };
      if (shown) changed.push([shown.card, made.card]);
      next.set(key, made);
    }
  }
  cards = next;
  const outline = (entry) => [entry.key, entry.scope !== null, entry.children.map(outline)];
  const shape = JSON.stringify([roots.map(outline), folded.map(outline)]);
  if (shape === layout) {
    for (const [old, made] of changed) old.replaceWith(made);
    return;
  }
  layout = shape;
  const list = (children) => {
    const made = element("ul");
    for (const child of children) {
      const line = element("li");
      line.append(child.scope ? cards.get(child.key).card : element("div", "scope of", child.name));
      if (child.children.length) line.append(list(child.children));
      made.append(line);
    }
    return made;
  };
  const made = [...list(roots).children];
  if (folded.length) {
    const fold = element("details");
    fold.open = $("tree").querySelector("details")?.open ?? false;
    const text = count(folded.length) + (folded.length === 1 ? " scope" : " scopes") + " without limits";
    fold.append(element("summary", "", text), list(folded));
    const line = element("li");
    line.append(fold);
    made.push(line);
  }
  $("tree").replaceChildren(...made);
}

// Draws a part of the page if what it shows has changed.
function drawPart(id, what, make) {
  const json = JSON.stringify(what);
  const part = $(id);
  if (part.shown === json) return;
  part.shown = json;
  part.replaceChildren(...make());
}

function who(row) {
  if (row.scope !== null) return link(row.scope);
  const others = row.scopes > 0 ? count(row.scopes) + " other " : "";
  if (row.class === "address") return element("span", "", "connections, by their address");
  const gone = row.scopes === 0 && !["conn", "stream", "span"].includes(row.class) ? " that no longer exist" : "";
  return element("span", "", others + (CLASSES[row.class] ?? row.class) + gone);
}

function drawRefusing(refusing) {
  drawPart("rows", refusing, () => {
    const none = refusing.seconds === null ? "A second answer will show it." : "Nothing is refused.";
    if (refusing.now.length === 0) return [element("li", "small", none)];
    const made = refusing.now.slice(0, SHOWN_ROWS).map((row) => {
      const line = element("li", "row");
      const usage = row.used === null || row.limit === null ? ""
        : ", " + amount(row.resource, row.used) + " of " + amount(row.resource, row.limit);
      const setting = row.setting ?? (row.scope === null ? "" : "an override of this scope");
      line.append(element("span", "rate", rate(row.per_second)), who(row),
        element("span", "small", FIELDS.get(row.resource) + usage), element("span", "setting", setting));
      return line;
    });
    const rest = refusing.now.slice(SHOWN_ROWS);
    const more = rest.reduce((sum, row) => sum + row.per_second, 0);
    if (rest.length) made.push(element("li", "small", rate(more) + " by " + count(rest.length) + " more"));
    return made;
  });
}

function counted(label, now, then, passed) {
  const text = label + " " + count(now);
  return then !== undefined && now > then ? text + ", " + rate((now - then) / passed) : text;
}

// A time that is not zero is never shown as zero.
function wait(seconds) {
  if (seconds >= 60) return time(seconds);
  return seconds > 0 && seconds < 0.001 ? "<0.001 s" : digits(seconds) + " s";
}

function queue(of) {
  const line = element("li", "row");
  // Connections, streams and spans have no page.
  const named = ["conn", "stream", "span"].includes(of.class) ? name(of.scope) : link(of.scope);
  const requests = count(of.requests) + (of.requests === 1 ? " request" : " requests");
  const sizes = of.resource === "memory" ? ", " + size(of.amount) : "";
  line.append(element("span", "since", wait(of.longest_seconds)), named,
    element("span", "small", requests + sizes), element("span", "setting", FIELDS.get(of.resource)));
  return line;
}

function drawWaiting(now, then, passed) {
  const totals = now.wait_totals;
  $("waiting").hidden = scopeName() !== null || totals.begun === 0;
  const [granted, refused, over] = [totals.granted, totals.refused, totals.given_up];
  const ended = granted + refused + over;
  drawPart("waits", [now.waiting_requests, totals, then?.wait_totals], () => {
    const parts = [["", count(now.waiting_requests) + " now"],
      ["", counted("granted", granted, then?.wait_totals.granted, passed)]];
    if (refused > 0) parts.push(["refused", counted("refused", refused, then?.wait_totals.refused, passed)]);
    if (over > 0) parts.push(["", counted("given up", over, then?.wait_totals.given_up, passed)]);
    if (ended > 0) parts.push(["", "on average " + wait(totals.waited_seconds / ended)]);
    return parts.map(([kind, text]) => element("span", kind, text));
  });
  drawPart("queues", now.waiting, () => {
    const made = now.waiting.slice(0, SHOWN_ROWS).map(queue);
    const more = now.waiting_queues - made.length;
    if (more > 0) made.push(element("li", "small", "and " + count(more) + " more"));
    return made;
  });
}

function drawAddresses(now, then, passed) {
  const counters = [
    ["refused by rate", "refused_by_rate"], ["by subnet", "refused_by_subnet"],
    ["asked to verify", "verifications_asked"], ["permits", "permits"],
    ["subnets with connections", "tracked_subnets"], ["subnets with rates", "tracked_buckets"],
  ];
  const known = counters.filter(([, key]) => now[key] !== undefined);
  $("addresses").hidden = known.every(([, key]) => now[key] === 0);
  drawPart("by-address", [now, then?.refused_by_rate, then?.refused_by_subnet], () => known.map(([label, key]) => {
    const refused = key.startsWith("refused") && now[key] > 0;
    const before = refused || key === "verifications_asked" ? then?.[key] : undefined;
    return element("span", refused ? "refused" : "", counted(label, now[key], before, passed));
  }));
  drawPart("networks", now.most_refused ?? [], () => (now.most_refused ?? []).map((network) => {
    const line = element("div", "row");
    line.append(element("span", "rate", count(network.by_rate + network.by_subnet)), element("bdi", "name", network.network),
      element("span", "small", "by rate " + count(network.by_rate)), element("span", "small", "by subnet " + count(network.by_subnet)));
    return line;
  }));
}

function drawDryRun(now, then, passed) {
  $("dry-run").hidden = !now;
  if (!now) return;
  drawPart("would", [now, then], () => {
    const parts = Object.entries(now.refusals).filter(([, of]) => of > 0)
      .map(([resource, of]) => counted(FIELDS.get(resource) ?? resource, of, then?.refusals[resource], passed));
    for (const [label, key] of [["by rate", "refused_by_rate"], ["by subnet", "refused_by_subnet"]]) {
      if (now.addresses?.[key] > 0) parts.push(counted(label, now.addresses[key], then?.addresses?.[key], passed));
    }
    return (parts.length ? parts : ["nothing"]).map((text) => element("span", parts.length ? "high" : "", text));
  });
}

// The counters of the program itself, for each of its parts, and how fast they grow.
function drawProgram(now, then, passed) {
  const parts = now?.parts ?? [];
  $("program").hidden = scopeName() !== null || parts.length === 0;
  if (parts.length === 0) return;
  put("parts-of", "By " + now.label);
  drawPart("parts", [now, then], () => parts.map((part) => {
    const old = then?.parts.find((old) => old.name === part.name);
    const facts = element("div", "facts");
    for (const [title, value] of Object.entries(part.counters)) {
      const before = old && (old.counters[title] ?? 0);
      const text = counted(title.replaceAll("_", " "), value, before, passed);
      facts.append(element("span", title.startsWith("refused") ? "refused" : "", text));
    }
    const line = element("li", "scope");
    line.append(element("bdi", "name", part.name), facts);
    return line;
  }));
}

// The page of one scope.
function drawDetail(of, scope) {
  $("detail").hidden = of === null;
  if (of === null) return;
  drawPart("detail", [of, scope, scope && rateOf(scope)], () => {
    const above = element("div", "above");
    const all = element("a", "", "all scopes");
    all.href = here.slice(0, -1) || "/";
    above.append(all);
    if (scope?.parent) above.append(link(scope.parent));
    const title = element("h2");
    title.append(name(of, scope?.parent));
    if (scope === null) return [above, title, element("p", "empty", "This scope does not exist now.")];
    const parts = [above, title, facts(scope), minute(scope), table(scope)];
    if (scope.waiting.length) {
      const queues = element("ul");
      queues.append(...scope.waiting.map(queue));
      parts.push(element("h2", "", "Waiting for room"), queues);
    }
    return parts;
  });
  const svg = $("detail").querySelector("svg");
  if (svg) drawMinute(svg, of);
}

function table(scope) {
  const heads = ["", "used", "peak", "limit", "in use", "refused", "setting", "set by"];
  const made = element("table");
  const head = element("thead");
  const line = element("tr");
  line.append(...heads.map((text, at) => element("th", at > 5 ? "left" : "", text)));
  head.append(line);
  const body = element("tbody");
  for (const [resource, field] of RESOURCES) {
    const limit = scope.limit[resource];
    const part = typeof limit === "number" ? used(scope, resource) / Math.max(limit, 1) : null;
    const optional = (number) => number === undefined ? "" : amount(resource, number);
    const origin = scope.origins[resource];
    const refused = scope.refusals[resource];
    const texts = [
      ["", amount(resource, used(scope, resource))], ["", optional(scope.peak[resource])],
      ["", part === null ? "unlimited" : amount(resource, limit)],
      [part === null ? "" : level(part), part === null ? "" : percent(part)],
      [refused > 0 ? "refused" : "", refused === undefined ? "" : count(refused)],
      ["left setting", origin.setting ?? ""], ["left", origin.from],
    ];
    const row = element("tr");
    const first = element("th", "", field);
    first.scope = "row";
    row.append(first, ...texts.map(([kind, text], at) => {
      const cell = element("td", kind, text);
      cell.dataset.label = heads[at + 1];
      return cell;
    }));
    body.append(row);
  }
  made.append(head, body);
  return made;
}

function drawServer(page) {
  put("name", page.name);
  put("uptime", "up " + time(page.uptime_seconds));
  const reload = page.reload;
  const bad = reload && reload.error !== null;
  const file = reload && reload.file.split("/").at(-1);
  put("reload", !reload ? "" : bad ? file + " is not in force: " + reload.error
    : file + " in force, " + count(reload.reloads) + (reload.reloads === 1 ? " reload" : " reloads"), bad ? "bad" : "");
  const over = page.over_releases;
  put("over", count(over) + (over === 1 ? " over-release" : " over-releases"), over > 0 ? "bad" : "");
}

// The scope that the address of this page names; null for all scopes.
function scopeName() {
  return new URLSearchParams(location.search).get("scope");
}

// Without an answer the totals stay, as old ones. What was refused some time ago is not refused now, so
// the rates go.
function forget(of) {
  $("refusing").hidden = true;
  for (const id of PARTS) $(id).className = "old";
  if (before === null) return;
  const { page } = before;
  before = null;
  for (const points of histories.values()) points.at(-1).per = 0;
  drawWaiting(page);
  drawAddresses(page.addresses);
  drawDryRun(page.dry_run);
  drawProgram(page.program);
  if (of === page.scope?.name) drawDetail(of, page.scope);
  draw(page.scopes);
}

async function refresh() {
  clearTimeout(timer);
  // Abort the previous request, so that the server can stop reading for it.
  asked.abort();
  const mine = asked = new AbortController();
  const of = scopeName();
  try {
    const query = new URLSearchParams({ sort: $("sort").value, search: $("search").value, offset, limit: SIZE });
    if (of !== null) query.set("scope", of);
    const answer = await fetch(here + "rcmgr.json?" + query, { cache: "no-store", signal: mine.signal });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    const page = JSON.parse(text);
    if (mine !== asked) return;
    const now = performance.now();
    const shown = [page.system, page.transient, page.scope, ...page.scopes].filter((scope) => scope !== null);
    for (const scope of new Map(shown.map((scope) => [scope.name, scope])).values()) remember(scope, now);
    for (const [of, points] of histories) if (points.at(-1).at < now - MINUTE) histories.delete(of);
    const passed = before ? (now - before.now) / 1000 : 0;
    drawServer(page);
    drawRefusing(page.refusing);
    $("refusing").hidden = of !== null;
    drawWaiting(page, before?.page, passed);
    drawAddresses(page.addresses, before?.page.addresses, passed);
    drawDryRun(page.dry_run, before?.page.dry_run, passed);
    drawProgram(page.program, before?.page.program, passed);
    drawDetail(of, page.scope);
    draw(page.scopes);
    drawn = text;
    before = { now, page };
    const last = offset + page.scopes.length;
    const unused = page.scopes.every((scope) => sum(scope.used) === 0);
    $("empty").hidden = page.matched > 0 && (!unused || of !== null);
    $("empty").textContent = page.matched > 0 ? "No scope is in use."
      : of !== null && $("search").value === "" ? "There are no scopes below it." : "No scope name contains this text.";
    $("place").textContent = page.matched ? count(offset + 1) + " to " + count(last) + " of " + count(page.matched) : "";
    $("back").disabled = offset === 0;
    $("more").disabled = last >= page.matched;
    answered = new Date().toLocaleTimeString();
    for (const id of PARTS) $(id).className = "";
    put("state", count(page.total) + " scopes");
    put("clock", "at " + answered);
    // The scopes of this page no longer exist: go to the last page.
    if (page.scopes.length === 0 && offset > 0) go(Math.max(0, Math.floor((page.matched - 1) / SIZE) * SIZE));
  } catch (error) {
    if (mine !== asked) return;
    forget(of);
    put("state", "no answer" + (answered && " since " + answered) + ", trying again: " + error.message, "bad");
    put("clock", "");
    put("uptime", "");
  }
  clearTimeout(timer);
  timer = setTimeout(() => { if (document.hidden) return; refresh(); }, EVERY);
}

function go(to) {
  offset = to;
  refresh();
}

// A link to a scope changes the address and keeps the page, with the minute that it remembers.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  $("search").value = "";
  scrollTo(0, 0);
  go(0);
});
addEventListener("popstate", () => go(0));
let typing;
$("search").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => go(0), 200); });
$("sort").addEventListener("change", () => go(0));
$("back").addEventListener("click", () => go(Math.max(0, offset - SIZE)));
$("more").addEventListener("click", () => go(offset + SIZE));
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
