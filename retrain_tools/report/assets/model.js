// The graph that came with the page, and the tree of boxes in which it is drawn.
//
// A box is known by a number: nodes come first, in file order, and scopes after them. ROOT is the
// scope around everything.

const data = JSON.parse(document.getElementById("graph-data").textContent);
const nodes = data.nodes;
const NODES = nodes.name.length;
const ROOT = NODES;
const BOXES = NODES + data.scopes.length;
const CONTROL = -1;

const isScope = (box) => box >= NODES;
const isPage = (box) => isScope(box) && data.scopes[box - NODES][3] === 1;
const opOf = (node) => data.ops[nodes.op[node]];

function parentOf(box) {
  if (!isScope(box)) return NODES + nodes.scope[box];
  return box === ROOT ? -1 : NODES + data.scopes[box - NODES][1];
}

// The full name; a page of a long level has none of its own.
function fullName(box) {
  if (!isScope(box)) return nodes.name[box];
  if (box === ROOT) return "";
  return isPage(box) ? labelOf(box) : data.scopes[box - NODES][2];
}

// What is written on the box: the part of the name that its scope does not have.
function labelOf(box) {
  if (isScope(box)) return data.scopes[box - NODES][0] || "(no name)";
  const name = nodes.name[box];
  const prefix = data.scopes[nodes.scope[box]][2];
  if (name === prefix) return `(${name.slice(name.lastIndexOf("/") + 1)})`;
  return (prefix && name.startsWith(`${prefix}/`) ? name.slice(prefix.length + 1) : name) || "(no name)";
}

// Inputs as {source, output, text}: source is -1 for an input that no node of the graph makes.
function inputsOf(node) {
  return nodes.inputs[node].map((input) => {
    if (typeof input === "string") return { source: -1, output: 0, text: input };
    const [source, output] = typeof input === "number" ? [input, 0] : input;
    const name = nodes.name[source];
    const text = output === CONTROL ? `^${name}` : output ? `${name}:${output}` : name;
    return { source, output, text };
  });
}

// consumersOf[n]: pairs of a node that takes something of n and the output that it takes.
const consumersOf = Array.from({ length: NODES }, () => []);
for (let node = 0; node < NODES; node++) {
  for (const input of nodes.inputs[node]) {
    if (typeof input === "number") consumersOf[input].push([node, 0]);
    else if (typeof input !== "string") consumersOf[input[0]].push([node, input[1]]);
  }
}

// childrenOf: what lies directly in each scope, in the direction in which data flow.
const childrenOf = new Map();
for (let box = ROOT; box < BOXES; box++) childrenOf.set(box, []);
for (let box = 0; box < BOXES; box++) if (box !== ROOT) childrenOf.get(parentOf(box)).push(box);

// inside: every node once, so that those of one scope stand together, from begin to end.
const inside = [];
const begin = new Map();
const end = new Map();
const position = nodes.at.slice();
for (let box = BOXES - 1; box >= ROOT; box--) {
  // Scopes stand after their parents in the file, so this meets inner ones first.
  position[box] = childrenOf.get(box).reduce((least, child) => Math.min(least, position[child]), Infinity);
  childrenOf.get(box).sort((a, b) => position[a] - position[b]);
}
{
  const waiting = [ROOT];
  while (waiting.length) {
    const box = waiting.pop();
    if (box < 0) end.set(~box, inside.length); // the mark that was left below
    else if (isScope(box)) {
      begin.set(box, inside.length);
      waiting.push(~box, ...childrenOf.get(box).slice().reverse());
    } else inside.push(box);
  }
}

const nodesIn = (box) => (isScope(box) ? inside.slice(begin.get(box), end.get(box)) : [box]);
const place = new Array(NODES);
inside.forEach((node, index) => (place[node] = index));

function contains(scope, node) {
  return place[node] >= begin.get(scope) && place[node] < end.get(scope);
}

// The child of a scope in which a node of that scope lies.
function childWith(scope, node) {
  let box = node;
  for (let parent = parentOf(box); parent !== scope; parent = parentOf(box)) box = parent;
  return box;
}

const onPath = new Set(data.path);
const pathBoxes = new Set(data.path);
for (const node of data.path) {
  for (let box = parentOf(node); box !== -1; box = parentOf(box)) pathBoxes.add(box);
}
const pathStart = data.path.length ? data.path[0] : null;

// Kinds of ops by what they are for; the first that fits.
const KINDS = [
  ["constant", "Constants", /^(Const|VariableV?2?|VarHandleOp)$/],
  ["input", "Inputs", /^(Placeholder.*|.*Iterator.*|_Arg)$/],
  ["layer", "Layers with weights", /Conv\dD|Conv2d|DepthwiseConv|MatMul|Einsum/],
  ["norm", "Normalisation, bias", /BatchNorm|BiasAdd|^LRN$|Rsqrt|InstanceNorm|LayerNorm/],
  ["activation", "Activations", /Relu|Softmax|Sigmoid|Tanh|Elu$|Selu|Swish|Softplus/],
  ["pool", "Pooling, reducing", /Pool|^(Mean|Sum|Max|Min|Prod|ArgMax|TopK.*)$/],
  ["join", "Joining", /Concat|^(Add.*|Pack|Split.*|Switch|Merge)$/],
];

function kindOf(node) {
  const op = opOf(node);
  return KINDS.find(([, , pattern]) => pattern.test(op))?.[0] ?? "other";
}

// What only serves training belongs to a part: its name, or undefined. All of a scope may.
const partOf = (node) => data.parts[nodes.part[node]]?.[0];
const isPart = (box) => (isScope(box) ? summaryOf(box).isPart : nodes.part[box] >= 0);

// For a scope: its number of nodes, whether anything in it is more than constants, and its ops.
const summaries = new Map();
function summaryOf(scope) {
  if (!summaries.has(scope)) {
    const counts = new Map();
    let live = false;
    let isPart = begin.get(scope) < end.get(scope);
    let parameters = 0;
    for (let index = begin.get(scope); index < end.get(scope); index++) {
      const node = inside[index];
      counts.set(opOf(node), (counts.get(opOf(node)) ?? 0) + 1);
      live ||= nodes.live[node] === 1;
      isPart &&= nodes.part[node] >= 0;
      parameters += data.constants[node]?.count ?? 0;
    }
    const ops = [...counts].sort((a, b) => b[1] - a[1]);
    summaries.set(scope, { size: end.get(scope) - begin.get(scope), live, isPart, ops, parameters });
  }
  return summaries.get(scope);
}

const isLive = (box) => (isScope(box) ? summaryOf(box).live : nodes.live[box] === 1);

// The op that says best what a scope is for: its layers, else what it has most of.
function mainOp(scope) {
  const { ops } = summaryOf(scope);
  const helpers = /^(Const|Identity|CheckNumerics|NoOp|Placeholder.*)$/;
  const layer = ops.find(([op]) => KINDS[2][2].test(op));
  return layer ?? ops.find(([op]) => !helpers.test(op)) ?? ops[0];
}

// What the outputs of a node are: [output, "float32 [1, 8, 8, 2048]"].
const outputsOf = (node) => nodes.outputs[node].map(([output, text]) => [output, data.texts[text]]);

// A shape for the drawing: "8×8×2048", without the number of images where that is 1 or any.
function shortShape(node, output) {
  const text = outputsOf(node).find(([number]) => number === output)?.[1];
  const dimensions = text && /\[(.+)\]/.exec(text)?.[1].split(", ");
  if (!dimensions) return "";
  const batch = opOf(node) !== "Const" && [2, 4].includes(dimensions.length) && /^(1|\?)$/.test(dimensions[0]);
  return dimensions.slice(batch ? 1 : 0).join("×");
}

const number = (value) => value.toLocaleString("en");
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

// The one thing that is selected, or null.
const state = { selected: null };
