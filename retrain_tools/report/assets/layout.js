// Where everything goes: each open scope is laid out by itself, with dagre, around its children.

const MARGIN = 22; // between a scope's border and what is in it
const HEADER = 34; // the bar with the name of an open scope
const GAP = 18; // between the boxes of a block
const WIDEST_LABEL = 230;
const FONT = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif';

const pencil = document.createElement("canvas").getContext("2d");
function textWidth(text, font) {
  pencil.font = `${font} ${FONT}`;
  return pencil.measureText(text).width;
}

// The text, or as much of its two ends as fits; names differ at their ends.
function shortened(text, width, font) {
  if (textWidth(text, font) <= width) return text;
  let [least, most] = [1, Math.min(text.length, 200)];
  const cut = (kept) => `${text.slice(0, Math.ceil(kept / 2))}…${text.slice(text.length - Math.floor(kept / 2))}`;
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (textWidth(cut(middle), font) <= width) least = middle;
    else most = middle - 1;
  }
  return cut(least);
}

const TITLE = "600 13px";
const SMALL = "11px";

// The lines of a closed box and its size.
const faces = new Map();
function faceOf(box) {
  if (!faces.has(box)) {
    const lines = [shortened(labelOf(box), WIDEST_LABEL, TITLE), secondLine(box)];
    const borrowed = flowIn(parentOf(box)).borrowed.get(box);
    if (borrowed) {
      const [first] = borrowed;
      lines.push(`◇ ${borrowed.size === 1 ? nodes.name[first] : `${number(borrowed.size)} constants from elsewhere`}`);
    }
    const texts = lines.map((line, index) => shortened(line, WIDEST_LABEL, index ? SMALL : TITLE));
    const widest = Math.max(...texts.map((line, index) => textWidth(line, index ? SMALL : TITLE)));
    const sign = isScope(box) ? 18 : 0; // the plus sign of a closed scope
    faces.set(box, { lines: texts, width: Math.max(84, Math.ceil(widest) + 30 + sign), height: 14 + 16 * lines.length });
  }
  return faces.get(box);
}

function secondLine(box) {
  if (isScope(box)) {
    const [op, count] = mainOp(box);
    return `${plural(summaryOf(box).size, "node")} · ${count > 1 ? `${number(count)} ` : ""}${op}`;
  }
  const shape = opOf(box) === "Const" ? shortShape(box, 0) : "";
  if (shape) return `Const · ${shape}`;
  const type = outputsOf(box)[0]?.[1].split(" ")[0]; // says more than the op's name twice
  return labelOf(box) === opOf(box) && type ? type : opOf(box);
}

const open = new Set([ROOT]);
const arrangements = new Map();

// Forget where things are in a scope and in those around it.
function changed(scope) {
  for (let box = scope; box !== -1; box = parentOf(box)) arrangements.delete(box);
}

function sizeOf(box) {
  if (!open.has(box)) return faceOf(box);
  const { width, height } = arrange(box);
  const header = textWidth(shortened(labelOf(box), 2 * WIDEST_LABEL, TITLE), TITLE) + 130;
  return { width: Math.max(width + 2 * MARGIN, Math.ceil(header)), height: height + 2 * MARGIN + HEADER };
}

// For an open scope, relative to the place inside its border: `width` and `height`; `boxes` as
// {box, x, y, width, height}; `frames` of blocks; `links` with `columns` (see columnsOf) and
// `label` {x, y}; `note`, if not all links are drawn; `entry` and `exit`, where what comes from outside enters and leaves (x).
function arrange(scope) {
  if (!arrangements.has(scope)) arrangements.set(scope, computeArrangement(scope));
  return arrangements.get(scope);
}

function computeArrangement(scope) {
  const { links } = flowIn(scope);
  const blocks = blocksIn(scope, links).map(blockOf);
  const blockWith = new Map(blocks.flatMap((block) => block.boxes.map(({ box }) => [box, block])));
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "TB", nodesep: 26, edgesep: 18, ranksep: 34, rankalign: "top" });
  blocks.forEach((block, index) => {
    block.name = `block ${index}`;
    graph.setNode(block.name, { width: block.width, height: block.height });
  });
  const name = (box) => blockWith.get(box)?.name ?? String(box);
  for (const child of childrenOf.get(scope)) {
    if (!blockWith.has(child)) {
      const { width, height } = sizeOf(child);
      graph.setNode(String(child), { width, height });
    }
  }
  const all = mergedByBlock(links, name);
  const drawn = strongest(all);
  for (const link of drawn) {
    const text = drawn.length > MOST_LABELS ? "" : linkText(link);
    const label = text ? { width: textWidth(text, SMALL) + 8, height: 15, labelpos: "c" } : {};
    for (const end of [link.start, link.finish]) {
      if (!graph.hasNode(end)) graph.setNode(end, { width: 2, height: 2 }); // IN or OUT
    }
    graph.setEdge(link.start, link.finish, { ...label, text, weight: link.path ? 8 : link.live ? 3 : 1 });
  }
  keepAtEnds(graph);
  dagre.layout(graph);
  const left = all.length - drawn.length;
  const note = left ? `Only the ${number(drawn.length)} strongest of ${number(all.length)} links are drawn.` : "";
  return { ...measured(graph, blocks, drawn), note };
}

// More links than this are neither followed by an eye nor laid out at once.
const MOST_LINKS = 240;
const MOST_LABELS = 120;

function strongest(links) {
  if (links.length <= MOST_LINKS) return links;
  const weight = (link) => (link.path ? 1e9 : 0) + (link.live ? 1e6 : 0) + link.count;
  const reached = new Set();
  const order = [...links].sort((a, b) => weight(b) - weight(a));
  // Every box keeps one link to it, so that it stands after something.
  const first = order.filter(({ finish }) => !reached.has(finish) && reached.add(finish));
  const kept = new Set([...first, ...order.slice(0, MOST_LINKS)]);
  return links.filter((link) => kept.has(link));
}

// Children in rows, about twice as wide as high.
function blockOf(children) {
  const sizes = children.map((box) => ({ box, ...pick(sizeOf(box)) }));
  const area = sizes.reduce((sum, { width, height }) => sum + (width + GAP) * (height + GAP), 0);
  const limit = Math.max(Math.sqrt(area * 2.2), ...sizes.map(({ width }) => width + 1));
  let [x, y, high, right] = [GAP, GAP, 0, 0];
  const boxes = sizes.map((size) => {
    if (x > GAP && x + size.width > limit + GAP) [x, y, high] = [GAP, y + high + GAP, 0];
    const placed = { ...size, x, y };
    x += size.width + GAP;
    high = Math.max(high, size.height);
    right = Math.max(right, x);
    return placed;
  });
  return { boxes, width: right, height: y + high + GAP };
}

const pick = ({ width, height }) => ({ width, height });

// Links whose ends are in the same blocks are drawn as one.
function mergedByBlock(links, name) {
  const merged = new Map();
  for (const link of links) {
    const [start, finish] = [name(link.from), name(link.to)];
    const known = merged.get(`${start}>${finish}`);
    if (!known) merged.set(`${start}>${finish}`, { ...link, start, finish, ends: [link.from, link.to] });
    else {
      known.count += link.count;
      known.live ||= link.live;
      known.data ||= link.data;
      known.path ||= link.path;
      known.tensors = new Set([...known.tensors, ...link.tensors]);
      known.ends.push(link.from, link.to);
    }
  }
  return [...merged.values()];
}

// Edges of the entry and the exit are made as long as the longest way beside them, so that nothing
// that feeds the same boxes stands above the entry, nor what is fed by them below the exit.
function keepAtEnds(graph) {
  const lengths = new Map();
  function longest(node, step, key) {
    if (!lengths.has(key + node)) {
      lengths.set(key + node, 0); // for a cycle that comes back here
      const others = step(node).filter((name) => Number(name) !== IN && Number(name) !== OUT);
      lengths.set(key + node, Math.max(0, ...others.map((name) => 1 + longest(name, step, key))));
    }
    return lengths.get(key + node);
  }
  const [entry, exit] = [String(IN), String(OUT)];
  const before = (node) => graph.predecessors(node);
  const after = (node) => graph.successors(node);
  for (const node of graph.hasNode(entry) ? after(entry) : []) {
    if (node !== exit) graph.edge(entry, node).minlen = Math.max(1, longest(node, before, "before "));
  }
  for (const node of graph.hasNode(exit) ? before(exit) : []) {
    if (node !== entry) graph.edge(node, exit).minlen = Math.max(1, longest(node, after, "after "));
  }
}

function measured(graph, blocks, drawn) {
  const at = (name) => graph.node(name);
  const visible = drawn.map((link) => ({ ...link, ...graph.edge(link.start, link.finish) }));
  const real = graph.nodes().filter((name) => Number(name) !== IN && Number(name) !== OUT);
  const sides = real.map((name) => [at(name).x - at(name).width / 2, at(name).x + at(name).width / 2]);
  const turns = visible.flatMap((link) => link.points.slice(1, -1).map(({ x }) => x));
  const left = Math.min(...sides.map(([x]) => x), ...turns);
  const right = Math.max(...sides.map(([, x]) => x), ...turns);
  const top = Math.min(...real.map((name) => at(name).y - at(name).height / 2));
  const bottom = Math.max(...real.map((name) => at(name).y + at(name).height / 2));
  const topOf = (name) => ({ x: at(name).x - at(name).width / 2 - left, y: at(name).y - at(name).height / 2 - top });

  const byName = new Map(blocks.map((block) => [block.name, block]));
  const boxes = [];
  const frames = [];
  for (const name of real) {
    const block = byName.get(name);
    const { x, y } = topOf(name);
    if (block) {
      frames.push({ x, y, ...pick(block) });
      boxes.push(...block.boxes.map((box) => ({ ...box, x: box.x + x, y: box.y + y })));
    } else boxes.push({ box: Number(name), x, y, ...pick(at(name)) });
  }
  boxes.sort((a, b) => position[a.box] - position[b.box]);

  const height = bottom - top;
  const space = {
    width: right - left,
    height,
    entry: graph.hasNode(String(IN)) ? at(String(IN)).x - left : null,
    exit: graph.hasNode(String(OUT)) ? at(String(OUT)).x - left : null,
  };
  const rows = rowsOf(real.map((name) => [topOf(name).y, topOf(name).y + at(name).height]));
  const links = visible.map((link) => {
    const label = link.text ? { x: link.x - left, y: link.y - top } : null;
    const points = link.points.map(({ x, y }) => ({ x: x - left, y: y - top }));
    return { ...link, label, columns: columnsOf(points, label, rows) };
  });
  fasten(links, (name) => {
    const row = rowAt(rows, topOf(name).y);
    if (Number(name) === IN) return { x: space.entry, bottom: -MARGIN, free: row?.[1] ?? -MARGIN, width: 0 };
    if (Number(name) === OUT) return { x: space.exit, top: height + MARGIN, free: row?.[0] ?? height, width: 0 };
    const { x, y } = topOf(name);
    const { width } = at(name);
    const box = Number(name);
    const inner = isScope(box) && open.has(box) ? arrange(box) : {};
    const shift = inner.width === undefined ? 0 : (width - inner.width) / 2;
    return {
      x: x + width / 2,
      entry: inner.entry == null ? undefined : x + shift + inner.entry,
      exit: inner.exit == null ? undefined : x + shift + inner.exit,
      top: y,
      bottom: y + at(name).height,
      width,
      below: row?.[1],
    };
  });
  relaxLabels(links);
  return { ...space, boxes, frames, links };
}

// The bands, as [top, bottom], in which the boxes of one rank stand; all begin at its top.
function rowsOf(extents) {
  const rows = new Map();
  for (const [top, bottom] of extents) {
    const key = Math.round(top);
    rows.set(key, [top, Math.max(bottom, rows.get(key)?.[1] ?? bottom)]);
  }
  return [...rows.values()].sort((a, b) => a[0] - b[0]);
}

const rowAt = (rows, y) => rows.find(([top, bottom]) => y > top - 2 && y < bottom + 2);

// A link goes straight up or down in columns, {x, from, to}, past the rows between its ends and
// through its label, and bends only between them: so it meets no box of another size.
function columnsOf(points, label, rows) {
  const down = points[0].y <= points[points.length - 1].y;
  const columns = points.map(({ x, y }, index) => {
    if (index === 0 || index === points.length - 1) return { x, from: y, to: y };
    const row = rowAt(rows, y);
    if (!row) return label && Math.abs(y - label.y) < 1 ? { x: label.x, from: y, to: y } : null;
    return down ? { x, from: row[0], to: row[1] } : { x, from: row[1], to: row[0] };
  });
  const known = columns.filter(Boolean);
  return known.filter((column, index) => column.from !== known[index - 1]?.from);
}

// Let links begin and end on the upper and lower sides of boxes, next to each other.
function fasten(links, sideOf) {
  const sides = new Map();
  for (const { start, finish, columns } of links) {
    const last = columns.length - 1;
    const down = columns[0].from <= columns[last].to;
    const ends = [
      [start, down, columns[0], columns[1]],
      [finish, !down, columns[last], columns[last - 1]],
    ];
    for (const [name, lower, column, next] of ends) {
      const key = `${name} ${lower}`;
      if (!sides.has(key)) sides.set(key, { name, lower, ends: [] });
      sides.get(key).ends.push({ column, toward: next.x, isStart: column === columns[0] });
    }
  }
  for (const { name, lower, ends } of sides.values()) {
    const side = sideOf(name);
    const middle = (lower ? side.exit : side.entry) ?? side.x;
    const y = lower ? side.bottom : side.top;
    const free = side.free ?? (lower ? (side.below ?? y) : y); // from below a low box, straight on beside higher ones
    ends.sort((a, b) => a.toward - b.toward);
    const step = ends.length > 1 ? Math.min(14, (side.width * 0.7) / (ends.length - 1)) : 0;
    const half = Math.max(0, side.width / 2 - 16); // clear of the round corners
    ends.forEach(({ column, isStart }, index) => {
      const x = middle + (index - (ends.length - 1) / 2) * step;
      column.x = side.width ? Math.min(side.x + half, Math.max(side.x - half, x)) : side.x;
      [column.from, column.to] = isStart ? [y, free] : [free, y];
    });
  }
}

// dagre keeps labels apart, often farther than needed: bring each to its link's straight way.
function relaxLabels(links) {
  const labelled = links.filter(({ label }) => label);
  const half = ({ text }) => textWidth(text, SMALL) / 2 + 5;
  for (const link of labelled) {
    const index = link.columns.findIndex(({ from }) => Math.abs(from - link.label.y) < 1);
    if (index < 1 || index === link.columns.length - 1) continue;
    const ends = [link.columns[index - 1].x, link.columns[index + 1].x];
    const x = Math.min(Math.max(link.label.x, Math.min(...ends)), Math.max(...ends));
    const free = labelled.every(
      (other) =>
        other === link ||
        Math.abs(other.label.y - link.label.y) > 16 ||
        Math.abs(other.label.x - x) > half(other) + half(link),
    );
    if (free) link.label.x = link.columns[index].x = x;
  }
}
