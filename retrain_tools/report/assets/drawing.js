// The drawing: what is laid out, as SVG. Names only ever become text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const drawing = document.getElementById("drawing");

// Where each drawn box is, from the corner of the whole drawing; and the elements that show them.
const places = new Map();
const elements = new Map();
let drawnLinks = [];

function draw() {
  const focused = drawing.contains(document.activeElement) ? document.activeElement.dataset.box : null;
  places.clear();
  elements.clear();
  drawnLinks = [];
  drawing.replaceChildren(inner(ROOT, 0, 0, 0));
  if (focused) elements.get(Number(focused))?.focus({ preventScroll: true });
}

// Everything in an open scope, whose inside begins at (x, y) of the whole drawing.
function inner(scope, x, y, depth) {
  const arrangement = arrange(scope);
  const group = svg("g");
  for (const frame of arrangement.frames) {
    group.append(svg("rect", { class: "block", x: frame.x, y: frame.y, width: frame.width, height: frame.height, rx: 10 }));
  }
  const lines = svg("g");
  for (const link of arrangement.links) if (!link.path) lines.append(line(link));
  for (const link of arrangement.links) if (link.path) lines.append(line(link)); // on top of others
  group.append(lines);
  for (const { box, x: left, y: top, width, height } of arrangement.boxes) {
    places.set(box, { x: x + left, y: y + top, width, height });
    const element = open.has(box)
      ? openScope(box, x + left, y + top, width, height, depth)
      : closedBox(box, width, height);
    element.setAttribute("transform", `translate(${left} ${top})`);
    group.append(element);
  }
  for (const link of arrangement.links) {
    if (link.label) group.append(svg("text", { class: `link-label${link.path ? " path" : ""}`, x: link.label.x, y: link.label.y + 4 }, link.text));
  }
  if (arrangement.note) group.append(svg("text", { class: "detail note", x: arrangement.width / 2, y: -7 }, arrangement.note));
  return group;
}

function line(link) {
  const classes = ["link", link.data ? "" : "control", link.live ? "live" : "fixed", link.path ? "path" : ""];
  const width = link.path ? 3 : Math.min(1.3 + Math.log2(link.count) * 0.35, 3);
  const element = svg("path", {
    class: classes.filter(Boolean).join(" "),
    d: smooth(link.columns),
    "stroke-width": width,
    "marker-end": link.to === OUT ? null : `url(#${link.path ? "arrow-path" : "arrow"})`,
  });
  drawnLinks.push({ element, ends: new Set(link.ends), marker: element.getAttribute("marker-end") });
  return element;
}

// Straight in the columns of a link, and bent between them.
function smooth(columns) {
  const round = (value) => Math.round(value * 10) / 10;
  return columns
    .map(({ x, from, to }, index) => {
      const straight = to === from ? "" : `V${round(to)}`;
      if (index === 0) return `M${round(x)} ${round(from)}${straight}`;
      const last = columns[index - 1];
      const middle = round((last.to + from) / 2);
      return `C${round(last.x)} ${middle} ${round(x)} ${middle} ${round(x)} ${round(from)}${straight}`;
    })
    .join("");
}

function classesOf(box) {
  const classes = ["box", isLive(box) ? "live" : "fixed"];
  if (isScope(box)) classes.push("scope", isPage(box) ? "page" : "named");
  else classes.push("node", `kind-${kindOf(box)}`);
  if (isPart(box)) classes.push("part");
  if (pathBoxes.has(box)) classes.push("path");
  if (box === data.bottleneck) classes.push("bottleneck");
  if (box === state.selected) classes.push("selected");
  return classes.join(" ");
}

function closedBox(box, width, height) {
  const { lines } = faceOf(box);
  const sign = isScope(box);
  const group = svg("g", {
    class: classesOf(box),
    "data-box": box,
    tabindex: 0,
    role: "button",
    "aria-expanded": sign ? "false" : null,
    "aria-label": sign ? `Scope ${fullName(box)}, ${lines[1]}` : `${fullName(box)}, ${opOf(box)}`,
  });
  group.append(svg("title", {}, sign ? `${fullName(box)}\n${lines[1]}` : `${fullName(box)}\n${opOf(box)}`));
  if (sign) group.append(svg("rect", { class: "shadow", x: 4, y: 4, width, height, rx: 8 }));
  const isConstant = !sign && opOf(box) === "Const";
  group.append(svg("rect", { class: "face", width, height, rx: isConstant ? 18 : 8 }));
  if (!sign) group.append(svg("rect", { class: "stripe", x: 7, y: 8, width: 4, height: height - 16, rx: 2 }));
  const middle = (width - (sign ? 16 : -8)) / 2;
  lines.forEach((text, index) => {
    const name = ["title", "detail", "detail borrowed"][index];
    group.append(svg("text", { class: name, x: middle, y: 20 + 16 * index }, text));
  });
  if (sign) group.append(svg("path", { class: "sign", d: `M${width - 21} ${height / 2}h10M${width - 16} ${height / 2 - 5}v10` }));
  elements.set(box, group);
  badge(box, group, width);
  return group;
}

function openScope(box, x, y, width, height, depth) {
  const group = svg("g", { class: `${classesOf(box)} open ${depth % 2 ? "odd" : "even"}`, "data-box": box });
  group.append(svg("rect", { class: "face", width, height, rx: 10 }));
  const shape = `M0 ${HEADER}V10a10 10 0 0 1 10 -10H${width - 10}a10 10 0 0 1 10 10V${HEADER}z`;
  const label = shortened(labelOf(box), width - 120, TITLE);
  const header = svg(
    "g",
    {
      class: "header",
      "data-box": box,
      tabindex: 0,
      role: "button",
      "aria-expanded": "true",
      "aria-label": `Scope ${fullName(box)}, ${plural(summaryOf(box).size, "node")}`,
    },
    svg("title", {}, fullName(box)),
    svg("path", { class: "bar", d: shape }),
    svg("path", { class: "sign", d: `M14 ${HEADER / 2}h10` }),
    svg("text", { class: "title start", x: 34, y: HEADER / 2 + 5 }, label),
    svg("text", { class: "detail end", x: width - 14, y: HEADER / 2 + 4 }, plural(summaryOf(box).size, "node")),
  );
  const { width: content } = arrange(box);
  const left = (width - content) / 2;
  const contents = inner(box, x + left, y + HEADER + MARGIN, depth + 1);
  contents.setAttribute("transform", `translate(${left} ${HEADER + MARGIN})`);
  group.append(header, contents);
  elements.set(box, header);
  return group;
}

// What the path begins and ends with is said in words.
function badge(box, group, width) {
  const has = (node) => node !== null && (isScope(box) ? contains(box, node) : box === node);
  const text = has(data.bottleneck) ? "bottleneck" : has(pathStart) ? "image" : null;
  if (!text) return;
  const size = textWidth(text, "600 10px") + 14;
  group.append(
    svg("rect", { class: "badge", x: width - size + 6, y: -9, width: size, height: 17, rx: 8.5 }),
    svg("text", { class: "badge-text", x: width - size / 2 + 6, y: 3 }, text),
  );
}

// Show which box is selected and what goes into it and comes out of it.
function markSelected() {
  for (const element of drawing.querySelectorAll(".selected")) element.classList.remove("selected");
  const element = state.selected === null ? null : elements.get(state.selected);
  element?.closest(".box").classList.add("selected");
  for (const { element: drawn, ends, marker } of drawnLinks) {
    const touched = ends.has(state.selected);
    drawn.classList.toggle("touched", touched);
    if (marker) drawn.setAttribute("marker-end", touched ? "url(#arrow-touched)" : marker);
  }
}
