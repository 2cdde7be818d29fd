// The search: nodes by a part of their name or by op, in a list to choose from.

const query = document.getElementById("query");
const results = document.getElementById("results");
const MOST_RESULTS = 100;
const MOST_OPS = 5;

const lowerNames = nodes.name.map((name) => name.toLowerCase());
const opCounts = summaryOf(ROOT).ops;
let limit = MOST_RESULTS;
let chosen = -1;

// "op:Conv2D mixed" are the nodes of op Conv2D with "mixed" in their names, "part:queues" those that
// only serve queues. Other words must all be in the name; a node is also found by its op alone.
function found(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const ops = words.filter((word) => word.startsWith("op:")).map((word) => word.slice(3));
  const serve = words.filter((word) => word.startsWith("part:")).map((word) => word.slice(5));
  const parts = words.filter((word) => !/^(op|part):/.test(word));
  const byName = [];
  const byOp = [];
  for (let node = 0; node < NODES; node++) {
    const op = opOf(node).toLowerCase();
    if (!ops.every((wanted) => op === wanted) || !serve.every((wanted) => partOf(node) === wanted)) continue;
    if (parts.every((part) => lowerNames[node].includes(part))) byName.push(node);
    else if (parts.every((part) => op.includes(part))) byOp.push(node);
  }
  const last = (node) => lowerNames[node].slice(lowerNames[node].lastIndexOf("/") + 1);
  const rank = (node) => {
    const whole = parts.join(" ");
    if (lowerNames[node] === whole) return 0;
    if (lowerNames[node].endsWith(`/${whole}`)) return 1;
    return parts.length && last(node).includes(parts[parts.length - 1]) ? 2 : 3;
  };
  const ranks = new Map(byName.map((node) => [node, rank(node)]));
  byName.sort((a, b) => ranks.get(a) - ranks.get(b) || a - b);
  return [...byName, ...byOp];
}

function listResults() {
  const text = query.value.trim();
  chosen = -1;
  query.removeAttribute("aria-activedescendant");
  if (!text) return hideResults();
  const hits = found(text);
  const lower = text.toLowerCase();
  const ops = text.includes(":") ? [] : opCounts.filter(([op]) => op.toLowerCase().includes(lower)).slice(0, MOST_OPS);
  const rows = [
    ...ops.map(([op, count]) => option(`all ${plural(count, "node")}`, `op:${op}`, kindOfOp(op), () => searchFor(`op:${op}`))),
    ...hits.slice(0, limit).map((node) => option(opOf(node), nodes.name[node], kindOf(node), () => choose(node))),
  ];
  rows.forEach((row, index) => (row.id = `result-${index}`));
  const summary = html("p", { class: "summary" }, hits.length ? `${plural(hits.length, "node")}` : "No node has this in its name or op.");
  results.replaceChildren(summary, ...rows);
  if (hits.length > limit) {
    const more = html("button", { type: "button", class: "more", onclick: () => ((limit *= 5), listResults(), query.focus()) });
    more.textContent = `Show more (${number(limit)} of ${number(hits.length)} shown)`;
    results.append(more);
  }
  results.hidden = false;
  query.setAttribute("aria-expanded", "true");
  return undefined;
}

function option(note, text, kind, act) {
  const row = html("div", { class: "result", role: "option", "aria-selected": "false" });
  row.append(html("span", { class: `dot kind-${kind}` }), html("span", { class: "name" }, breakable(text)), html("span", { class: "note" }, note));
  row.addEventListener("mousedown", (event) => event.preventDefault()); // the query keeps the focus
  row.addEventListener("click", act);
  return row;
}

function hideResults() {
  results.hidden = true;
  results.replaceChildren();
  query.setAttribute("aria-expanded", "false");
  query.removeAttribute("aria-activedescendant");
}

function searchFor(text) {
  query.value = text;
  query.focus();
  limit = MOST_RESULTS;
  listResults();
}

function choose(node) {
  hideResults();
  reveal(node);
  elements.get(node)?.focus({ preventScroll: true });
}

function mark(index) {
  const rows = results.querySelectorAll(".result");
  rows[chosen]?.setAttribute("aria-selected", "false");
  chosen = rows.length ? (index + rows.length) % rows.length : -1;
  if (chosen < 0) return;
  rows[chosen].setAttribute("aria-selected", "true");
  rows[chosen].scrollIntoView({ block: "nearest" });
  query.setAttribute("aria-activedescendant", rows[chosen].id);
}

query.addEventListener("input", () => ((limit = MOST_RESULTS), listResults()));
query.addEventListener("focus", () => {
  if (query.value.trim() && results.hidden) listResults();
});
query.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (results.hidden) listResults();
    mark(chosen < 0 && event.key === "ArrowUp" ? -1 : chosen + (event.key === "ArrowDown" ? 1 : -1));
  } else if (event.key === "Enter") {
    const rows = results.querySelectorAll(".result");
    (rows[chosen] ?? rows[0])?.click();
  } else if (event.key === "Escape") {
    if (results.hidden) query.blur();
    hideResults();
    event.stopPropagation();
  } else return;
  event.preventDefault();
});
document.addEventListener("pointerdown", (event) => {
  if (!document.getElementById("search").contains(event.target) && !panel.contains(event.target)) hideResults();
});
document.getElementById("search").addEventListener("focusout", (event) => {
  const { relatedTarget } = event;
  if (relatedTarget && !document.getElementById("search").contains(relatedTarget)) hideResults();
});
