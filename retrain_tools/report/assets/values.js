// A constant in the panel: first values, statistics, histogram, and kernels as images.

const digits = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential(3) : String(Number(value.toPrecision(5))));

function constantPart(node) {
  const constant = data.constants[node];
  if (constant.broken) {
    return [heading("Values"), html("p", { class: "broken" }, `Cannot be read: ${constant.broken}.`)];
  }
  const shown = [heading("Values", constant.count)];
  const kernels = data.kernels[node];
  if (kernels) shown.push(kernelTiles(kernels));
  if (constant.bins && constant.count > 1) shown.push(histogram(constant));
  const rows = [];
  for (const key of ["min", "max", "mean", "std"]) {
    if (constant[key] !== undefined && constant.count > 1) rows.push([key, html("code", {}, digits(constant[key]))]);
  }
  if (constant.zeros !== undefined && constant.count > 1) {
    rows.push(["zeros", html("code", {}, share(constant.zeros, constant.count))]);
    rows.push(["NaN", html("code", { class: constant.nan ? "alarm" : null }, share(constant.nan, constant.count))]);
    if (constant.inf) rows.push(["infinite", html("code", { class: "alarm" }, share(constant.inf, constant.count))]);
  }
  const first = constant.first.join(", ") + (constant.count > constant.first.length ? ", …" : "");
  if (constant.count) rows.push([constant.count === 1 ? "value" : "first", html("code", {}, first)]);
  shown.push(html("div", { class: "statistics" }, table(rows)));
  return shown;
}

function share(part, all) {
  return part && all > 1 ? `${number(part)} (${Number(((100 * part) / all).toPrecision(2))} %)` : number(part);
}

function histogram({ bins, min, max }) {
  const [width, height, base] = [312, 96, 80];
  const most = Math.max(...bins);
  const step = width / bins.length;
  const chart = svg("svg", {
    class: "histogram",
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `Histogram of ${bins.length} parts from ${digits(min)} to ${digits(max)}`,
  });
  bins.forEach((count, index) => {
    const tall = count ? Math.max(1.5, ((base - 4) * count) / most) : 0;
    const from = min + ((max - min) * index) / bins.length;
    const to = min + ((max - min) * (index + 1)) / bins.length;
    chart.append(
      svg(
        "g",
        {},
        svg("title", {}, `${digits(from)} to ${digits(to)}: ${number(count)}`),
        svg("rect", { class: "bin-area", x: index * step, y: 0, width: step, height: base }),
        svg("rect", { class: "bin", x: index * step + 0.75, y: base - tall, width: step - 1.5, height: tall, rx: 1 }),
      ),
    );
  });
  chart.append(svg("path", { class: "axis", d: `M0 ${base + 0.5}H${width}` }));
  if (min < 0 && max > 0) {
    const zero = (width * -min) / (max - min);
    chart.append(svg("path", { class: "zero", d: `M${zero} 0V${base}` }));
    const apart = Math.min(zero, width - zero) > 60;
    if (apart) chart.append(svg("text", { x: zero, y: height - 3, "text-anchor": "middle" }, "0"));
  }
  chart.append(
    svg("text", { x: 0, y: height - 3 }, digits(min)),
    svg("text", { x: width, y: height - 3, "text-anchor": "end" }, digits(max)),
  );
  return chart;
}

function kernelTiles({ png, width, height, shown, out }) {
  const factor = Math.max(1, Math.floor(312 / width));
  const image = html("img", {
    class: "kernels",
    src: `data:image/png;base64,${png}`,
    width: width * factor,
    height: height * factor,
    alt: `The ${shown} kernels of the first layer`,
  });
  const all = shown === out ? `The ${shown} kernels` : `${shown} of the ${out} kernels`;
  const text = `${all} of the first layer, each stretched to its own range.`;
  return html("figure", {}, image, html("figcaption", {}, text));
}
