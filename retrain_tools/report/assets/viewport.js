// What part of the drawing is seen: zoom, pan, and the small map of the whole.

const stage = document.getElementById("stage");
const canvas = document.getElementById("canvas");
const map = document.getElementById("map");
const view = { x: 0, y: 0, scale: 1 };
const [SMALLEST, LARGEST] = [0.02, 4];
const EDGE = 24;

function wholeSize() {
  const { width, height } = arrange(ROOT);
  return { width, height };
}

function applyView() {
  drawing.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
  canvas.classList.toggle("far", view.scale < 0.45);
  drawMap();
}

// Zoom by a factor; the point (x, y) of the stage stays where it is.
function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const scale = Math.min(LARGEST, Math.max(SMALLEST, view.scale * factor));
  view.x = x - ((x - view.x) * scale) / view.scale;
  view.y = y - ((y - view.y) * scale) / view.scale;
  view.scale = scale;
  applyView();
}

function pan(x, y) {
  view.x += x;
  view.y += y;
  applyView();
}

// The whole drawing; `readable` keeps letters readable and shows the beginning of what is too long.
function fit(readable = false) {
  const { width, height } = wholeSize();
  const across = (stage.clientWidth - 2 * EDGE) / width;
  const down = (stage.clientHeight - 2 * EDGE) / height;
  const both = Math.min(across, down);
  view.scale = Math.min(1, readable && both < 0.8 ? Math.max(0.8, Math.min(across, 1)) : both);
  view.scale = Math.max(SMALLEST, view.scale);
  const first = places.get(childrenOf.get(ROOT)[0]);
  const middle = width * view.scale > stage.clientWidth ? first.x + first.width / 2 : width / 2;
  view.x = stage.clientWidth / 2 - middle * view.scale;
  view.y = Math.max(EDGE, (stage.clientHeight - height * view.scale) / 2);
  applyView();
}

// Bring a drawn box into the middle, or just into sight if `gently`.
function show(box, gently = false) {
  const place = places.get(box);
  if (!place) return;
  const head = open.has(box) ? Math.min(place.height, 300) : place.height;
  const [x, y] = [place.x + place.width / 2, place.y + head / 2];
  const [left, top] = [view.x + place.x * view.scale, view.y + place.y * view.scale];
  const [right, bottom] = [left + place.width * view.scale, top + head * view.scale];
  const seen = left >= 0 && top >= 0 && right <= stage.clientWidth && bottom <= stage.clientHeight;
  if (gently && seen) return;
  if (!gently) view.scale = Math.min(1.2, Math.max(view.scale, 0.9));
  view.x = stage.clientWidth / 2 - x * view.scale;
  view.y = stage.clientHeight / 2 - y * view.scale;
  applyView();
}

// Let `change` lay out anew without moving the box from under the pointer.
function holding(box, change) {
  const head = () => {
    const place = places.get(box);
    return place && { x: place.x + place.width / 2, y: place.y };
  };
  const before = head();
  change();
  const after = head();
  if (before && after) {
    view.x += (before.x - after.x) * view.scale;
    view.y += (before.y - after.y) * view.scale;
  }
  applyView();
}

// How the map shows the whole: a tall and narrow graph has its columns widened.
function mapScale() {
  const { width, height } = wholeSize();
  const scale = Math.min(170 / width, 240 / height);
  return { across: Math.max(scale, Math.min(64 / width, 4 * scale)), down: Math.max(scale, Math.min(40 / height, 4 * scale)) };
}

// The map has the boxes, the path, and a frame around what is seen.
function drawMap() {
  const { width, height } = wholeSize();
  const scale = mapScale();
  const seen = { x: -view.x / view.scale, y: -view.y / view.scale };
  const [wide, high] = [stage.clientWidth / view.scale, stage.clientHeight / view.scale];
  map.hidden = seen.x <= 0 && seen.y <= 0 && seen.x + wide >= width && seen.y + high >= height;
  if (map.hidden) return;
  const pixels = window.devicePixelRatio || 1;
  map.style.width = `${width * scale.across}px`;
  map.style.height = `${height * scale.down}px`;
  map.width = Math.ceil(width * scale.across * pixels);
  map.height = Math.ceil(height * scale.down * pixels);
  const brush = map.getContext("2d");
  const colours = getComputedStyle(map);
  const colour = (name) => colours.getPropertyValue(name);
  brush.scale(pixels, pixels);
  const area = ({ x, y }, w, h) => [x * scale.across, y * scale.down, w * scale.across, h * scale.down];
  for (const [box, place] of places) {
    brush.fillStyle = open.has(box) ? colour("--bar") : pathBoxes.has(box) ? colour("--path") : colour("--line");
    if (box === state.selected) brush.fillStyle = colour("--accent");
    brush.globalAlpha = open.has(box) ? 0.35 : 0.8;
    brush.fillRect(...area(place, place.width, place.height));
  }
  brush.globalAlpha = 1;
  brush.lineWidth = 2;
  brush.strokeStyle = colour("--accent");
  const [x, y] = [Math.max(0, seen.x), Math.max(0, seen.y)];
  const [right, bottom] = [Math.min(width, seen.x + wide), Math.min(height, seen.y + high)];
  const [left, top, w, h] = area({ x, y }, right - x, bottom - y);
  brush.strokeRect(left + 1, top + 1, w - 2, h - 2);
}

canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? stage.clientHeight : 1;
    const [x, y] = [event.deltaX * unit, event.deltaY * unit];
    if (event.ctrlKey || event.metaKey) {
      const corner = stage.getBoundingClientRect();
      zoom(Math.exp(-y / 300), event.clientX - corner.left, event.clientY - corner.top);
    } else if (event.shiftKey && !x) pan(-y, 0);
    else pan(-x, -y);
  },
  { passive: false },
);

// One pointer drags, two zoom. What has moved is no click.
const pointers = new Map();
let moved = false;
canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  if (!pointers.size) moved = false;
  pointers.set(event.pointerId, event);
});
canvas.addEventListener("pointermove", (event) => {
  const last = pointers.get(event.pointerId);
  if (!last) return;
  const [x, y] = [event.clientX - last.clientX, event.clientY - last.clientY];
  if (!moved && Math.hypot(x, y) < 4) return;
  if (!moved) canvas.setPointerCapture(event.pointerId);
  moved = true;
  canvas.classList.add("dragging");
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const apart = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY);
    const corner = stage.getBoundingClientRect();
    zoom(apart(event) / (apart(last) || 1), other.clientX - corner.left, other.clientY - corner.top);
  } else pan(x, y);
  pointers.set(event.pointerId, event);
});
for (const type of ["pointerup", "pointercancel"]) {
  window.addEventListener(type, (event) => {
    pointers.delete(event.pointerId);
    canvas.classList.remove("dragging");
  });
}

function goOnMap(event) {
  if (event.type === "pointermove" && !(event.buttons & 1)) return;
  const corner = map.getBoundingClientRect();
  const scale = mapScale();
  view.x = stage.clientWidth / 2 - ((event.clientX - corner.left) / scale.across) * view.scale;
  view.y = stage.clientHeight / 2 - ((event.clientY - corner.top) / scale.down) * view.scale;
  applyView();
}
map.addEventListener("pointerdown", goOnMap);
map.addEventListener("pointermove", goOnMap);

document.getElementById("zoom-in").addEventListener("click", () => zoom(1.3));
document.getElementById("zoom-out").addEventListener("click", () => zoom(1 / 1.3));
document.getElementById("zoom-fit").addEventListener("click", () => fit());
new ResizeObserver(() => applyView()).observe(stage);
