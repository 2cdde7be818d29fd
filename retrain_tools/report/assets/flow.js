// What flows between the boxes of one scope: edges of the graph merged into links.

const flows = new Map();

// For a scope: `links` between its children, as {from, to, count, live, data, path, tensors}; IN
// and OUT stand for everything outside. What comes from outside and is computed from constants only
// (weights in a scope of their own) has no link, which would cross everything: `borrowed` has, for
// a child, the nodes that it takes so.
const IN = -2;
const OUT = -3;

function flowIn(scope) {
  if (!flows.has(scope)) flows.set(scope, computeFlow(scope));
  return flows.get(scope);
}

function computeFlow(scope) {
  const links = new Map();
  const borrowed = new Map();

  function add(from, to, source, output, target) {
    const key = `${from}>${to}`;
    if (!links.has(key)) {
      links.set(key, { from, to, count: 0, live: false, data: false, path: false, tensors: new Set() });
    }
    const link = links.get(key);
    link.count += 1;
    const live = nodes.live[source] === 1 && output !== CONTROL;
    link.live ||= live;
    link.data ||= output !== CONTROL;
    link.path ||= output !== CONTROL && onPath.has(source) && onPath.has(target);
    if (live) link.tensors.add(`${source}:${output}`);
  }

  for (const child of childrenOf.get(scope)) {
    for (const node of nodesIn(child)) {
      for (const { source, output } of inputsOf(node)) {
        if (source < 0) continue;
        if (contains(scope, source)) {
          const from = childWith(scope, source);
          if (from !== child) add(from, child, source, output, node);
        } else if (nodes.live[source] === 1) add(IN, child, source, output, node);
        else if (borrowed.has(child)) borrowed.get(child).add(source);
        else borrowed.set(child, new Set([source]));
      }
      for (const [consumer, output] of consumersOf[node]) {
        if (!contains(scope, consumer)) add(child, OUT, node, output, consumer);
      }
    }
  }
  return { links: [...links.values()], borrowed };
}

// What is written beside a link: the shape, if only one tensor flows (constants apart), and how many
// edges it stands for.
function linkText(link) {
  if (link.from === IN || link.to === OUT) return "";
  const parts = [];
  if (link.tensors.size === 1) {
    const [source, output] = [...link.tensors][0].split(":").map(Number);
    parts.push(shortShape(source, output));
  }
  if (link.count > 1) parts.push(`${number(link.count)} edges`);
  return parts.filter(Boolean).join(" · ");
}

// Sets of children that would make a level very wide: those without any link, those that only feed,
// or are only fed by, the same one box, and many side by side between the same two. Each set is
// drawn as a block of rows.
function blocksIn(scope, links) {
  const before = new Map();
  const after = new Map();
  const note = (map, box, other) => map.set(box, (map.get(box) ?? new Set()).add(other));
  for (const { from, to } of links) {
    note(after, from, to);
    note(before, to, from);
  }
  const sets = new Map();
  for (const child of childrenOf.get(scope)) {
    const sources = [...(before.get(child) ?? [])];
    const targets = [...(after.get(child) ?? [])];
    if (sources.length > 1 || targets.length > 1) continue;
    const key = `${sources}>${targets}`;
    if (!sets.has(key)) sets.set(key, { members: [], most: sources.length && targets.length ? 12 : 4 });
    sets.get(key).members.push(child);
  }
  return [...sets.values()].filter(({ members, most }) => members.length > most).map(({ members }) => members);
}
