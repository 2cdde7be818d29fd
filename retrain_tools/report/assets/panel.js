// The panel at the side: the overview, a scope, or a node with its constant.

const panel = document.getElementById("panel");
const MOST_ROWS = 60;

function html(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// A name that may be broken into lines after its slashes and underscores.
function breakable(name) {
  const pieces = document.createDocumentFragment();
  for (const part of name.split(/(?<=[/_.])/)) pieces.append(part, document.createElement("wbr"));
  return pieces;
}

function showPanel() {
  const box = state.selected;
  const content = box === null ? overview() : isScope(box) ? scopePanel(box) : nodePanel(box);
  panel.replaceChildren(...content);
  panel.scrollTop = 0;
}

const heading = (text, count) =>
  html("h3", {}, text, count === undefined ? "" : html("span", { class: "count" }, number(count)));

function table(rows) {
  const body = rows.map(([key, value]) => html("tr", {}, html("th", { scope: "row" }, breakable(key)), html("td", {}, value)));
  return html("table", {}, html("tbody", {}, ...body));
}

// A list of which more is shown on demand.
function longList(items, make) {
  const list = html("ul", { class: "nodes" }, ...items.slice(0, MOST_ROWS).map(make));
  if (items.length <= MOST_ROWS) return list;
  const more = html("button", {
    type: "button",
    class: "more",
    onclick: () => {
      const shown = list.childElementCount;
      list.append(...items.slice(shown, shown + 10 * MOST_ROWS).map(make));
      if (list.childElementCount >= items.length) more.remove();
      else more.textContent = remaining(list.childElementCount);
    },
  });
  const remaining = (shown) => `Show more (${number(shown)} of ${number(items.length)} shown)`;
  more.textContent = remaining(MOST_ROWS);
  return html("div", {}, list, more);
}

// A node to go to.
function nodeLink(node, text, note) {
  const button = html("button", { type: "button", class: "go", title: nodes.name[node], onclick: () => reveal(node) });
  button.append(html("span", { class: `dot kind-${kindOf(node)}` }), html("span", { class: "name" }, breakable(text)));
  return html("li", {}, button, html("span", { class: "note" }, note));
}

function overview() {
  const shown = [html("h2", {}, "Overview")];
  const summary = summaryOf(ROOT);
  const rows = [...data.facts, ["Nodes", number(summary.size)], ["Values in constants", number(summary.parameters)]];
  shown.push(table(rows.map(([key, value]) => [key, html("span", { class: "value" }, breakable(value))])));
  shown.push(terms(rows.map(([key]) => key)));
  if (data.parts.length) shown.push(heading("In grey: only for training"), partLegend());
  if (data.commands.length) shown.push(heading("Next"), html("ul", { class: "commands" }, ...data.commands.map(command)));
  if (data.path.length) {
    const hint = "From the image to the bottleneck";
    shown.push(html("p", { class: "legend-path" }, html("span", { class: "path-sample" }), hint));
  }
  for (const [node, kernels] of Object.entries(data.kernels)) {
    const link = html("ul", { class: "nodes" }, nodeLink(Number(node), nodes.name[node], ""));
    shown.push(heading("First layer"), link, kernelTiles(kernels));
  }
  shown.push(heading("Ops", summary.ops.length), opBars(summary.ops));
  if (data.functions.length) shown.push(heading("Functions", data.functions.length), functionList());
  const keys = [
    ["/", "search"],
    ["Tab, Enter", "walk through boxes, open or select"],
    ["Esc", "close the search or the selection"],
    ["+ − 0", "zoom in, out, show everything"],
    ["arrows", "move; also by dragging and scrolling"],
    ["Ctrl + wheel", "zoom at the pointer"],
  ];
  shown.push(heading("Keys"), table(keys));
  return shown;
}

// What the words in the overview's table mean.
const TERMS = [
  ["Parameters", "the weights of the network: the values of its constants, without single numbers and without whole numbers that say shapes or places"],
  ["Values in constants", "all values of all constants, those that say shapes, axes or sizes too"],
  ["Operations", "multiplications and additions of convolutions and matrix products for one image"],
  ["Bottleneck", "what the last layer classifies: the values that are worth caching"],
];

function terms(shown) {
  const known = TERMS.filter(([term]) => shown.includes(term));
  const list = html("dl", {}, ...known.flatMap(([term, text]) => [html("dt", {}, term), html("dd", {}, `${text}.`)]));
  return html("details", { class: "terms" }, html("summary", {}, "What these words mean"), list);
}

// The grey nodes, by what they are for.
function partLegend() {
  const counts = data.parts.map(() => 0);
  for (const part of nodes.part) if (part >= 0) counts[part] += 1;
  const row = ([part, text], index) => {
    const button = html("button", { type: "button", title: `Search for nodes of ${part}`, onclick: () => searchFor(`part:${part}`) });
    button.append(html("span", { class: "part-sample" }), html("span", { class: "name" }, part), html("span", { class: "count" }, number(counts[index])));
    return html("li", {}, button, html("div", { class: "meaning" }, text));
  };
  return html("ul", { class: "parts" }, ...data.parts.map(row));
}

function opBars(ops) {
  const most = Math.max(...ops.map(([, count]) => count), 1);
  return html(
    "ul",
    { class: "ops" },
    ...ops.map(([op, count]) => {
      const bar = html("span", { class: `bar kind-${kindOfOp(op)}` });
      bar.style.width = `${Math.max(2, (100 * count) / most)}%`;
      const button = html("button", { type: "button", title: `Search for nodes of op ${op}`, onclick: () => searchFor(`op:${op}`) });
      button.append(html("span", { class: "name" }, op), html("span", { class: "count" }, number(count)), bar);
      return html("li", {}, button);
    }),
  );
}

const kindOfOp = (op) => KINDS.find(([, , pattern]) => pattern.test(op))?.[0] ?? "other";

function functionList() {
  const row = ({ name, nodes: count, inputs, outputs }) =>
    html(
      "li",
      {},
      html("div", { class: "name" }, breakable(name)),
      html("div", { class: "note" }, `${plural(count, "node")}; (${inputs.join(", ")}) → (${outputs.join(", ")})`),
    );
  return longList(data.functions, row);
}

// The scopes that a box lies in, each to go to.
function crumbs(box) {
  const trail = [];
  for (let parent = parentOf(box); parent !== -1 && parent !== ROOT; parent = parentOf(parent)) {
    const target = parent;
    trail.unshift(html("button", { type: "button", class: "crumb", onclick: () => reveal(target) }, labelOf(target)), "/");
  }
  const home = html("button", { type: "button", class: "crumb", onclick: () => select(null) }, "Overview");
  return html("nav", { class: "crumbs", "aria-label": "Scopes around it" }, home, "/", ...trail);
}

function scopePanel(scope) {
  const summary = summaryOf(scope);
  const toggleText = open.has(scope) ? "Close" : "Open";
  const shown = [
    crumbs(scope),
    html("h2", { class: "name" }, breakable(fullName(scope))),
    html(
      "p",
      {},
      isPage(scope) ? "A page of a long level: " : "A scope with ",
      plural(summary.size, "node"),
      summary.parameters ? `, ${number(summary.parameters)} values in constants` : "",
    ),
    html("p", {}, html("button", { type: "button", class: "main", onclick: () => toggle(scope) }, toggleText)),
    heading("Ops", summary.ops.length),
    opBars(summary.ops),
  ];
  const [takes, gives] = [new Map(), new Map()];
  for (const node of nodesIn(scope)) {
    for (const { source, output, text } of inputsOf(node)) {
      if (source >= 0 && !contains(scope, source) && output !== CONTROL) takes.set(text, [source, output]);
    }
    for (const [consumer, output] of consumersOf[node]) {
      if (!contains(scope, consumer) && output !== CONTROL) gives.set(output ? `${nodes.name[node]}:${output}` : nodes.name[node], [node, output]);
    }
  }
  const row = ([text, [node, output]]) => nodeLink(node, text, shortShape(node, output));
  if (takes.size) shown.push(heading("Takes", takes.size), longList([...takes], row));
  if (gives.size) shown.push(heading("Gives to others", gives.size), longList([...gives], row));
  return shown;
}

function nodePanel(node) {
  const shown = [crumbs(node), html("h2", { class: "name" }, breakable(nodes.name[node]))];
  const op = html("button", { type: "button", class: `tag kind-${kindOf(node)}`, title: "All nodes of this op", onclick: () => searchFor(`op:${opOf(node)}`) }, opOf(node));
  const tags = html("p", { class: "tags" }, op);
  if (node === data.bottleneck) tags.append(html("span", { class: "tag path" }, "bottleneck"));
  else if (onPath.has(node)) tags.append(html("span", { class: "tag path" }, "on the way to the bottleneck"));
  if (partOf(node)) tags.append(html("span", { class: "tag part" }, `only for training: ${partOf(node)}`));
  shown.push(tags);
  const outputs = outputsOf(node);
  if (outputs.length) {
    const row = ([output, text]) => {
      const name = `${nodes.name[node]}:${output}`;
      return [`:${output}`, html("div", { class: "copied" }, html("code", {}, text), copyButton(name, name))];
    };
    shown.push(heading("Outputs"), table(outputs.map(row)));
    if (data.ofTensor && isLive(node) && !isPart(node)) {
      const next = commandFor(`${nodes.name[node]}:${outputs[0][0]}`);
      shown.push(html("ul", { class: "commands" }, command(next)));
    }
  }
  if (data.constants[node]) shown.push(...constantPart(node));
  const inputs = inputsOf(node);
  if (inputs.length) {
    const note = ({ source, output }) => (source < 0 ? "not in this graph" : output === CONTROL ? "control" : shortShape(source, output));
    const row = (input) =>
      input.source < 0
        ? html("li", {}, html("span", { class: "name missing" }, breakable(input.text)), html("span", { class: "note" }, note(input)))
        : nodeLink(input.source, input.text, note(input));
    shown.push(heading("Inputs", inputs.length), longList(inputs, row));
  }
  const uses = consumersOf[node];
  if (uses.length) {
    const note = (output) => (output === CONTROL ? "control" : output ? `takes :${output}` : "");
    const row = ([consumer, output]) => nodeLink(consumer, nodes.name[consumer], note(output));
    shown.push(heading("Consumers", uses.length), longList(uses, row));
  } else shown.push(heading("Consumers"), html("p", { class: "quiet" }, "None: nothing takes its result."));
  const attributes = nodes.attributes[node].map((text) => data.texts[text]);
  const pairs = [];
  for (let index = 0; index < attributes.length; index += 2) pairs.push([attributes[index], html("code", {}, attributes[index + 1])]);
  const device = data.texts[nodes.device[node]];
  if (device) pairs.push(["device", html("code", {}, device)]);
  if (pairs.length) shown.push(heading("Attributes"), table(pairs));
  return shown;
}
