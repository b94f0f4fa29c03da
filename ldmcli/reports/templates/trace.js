"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const percent = (share) => (100 * share).toFixed(share < 0.0995 ? 1 : 0) + " %";
const last = data.frames.length - 1;
const state = { frame: 0, word: 0, now: false, grid: false };

/* Pictures, loaded before anything is drawn with them. */
function load(address) {
  return new Promise((done) => {
    if (!address) return done(null);
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => done(null);
    image.src = address;
  });
}

/* A canvas of h x w bytes; paint(level) gives [r, g, b, a]. */
function plane(levels, [height, width], paint) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  levels.forEach((level, i) => pixels.data.set(paint(level), 4 * i));
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/* From see-through over violet and orange to yellow: light that falls on a picture in the dark. */
const STOPS = [[40, 10, 90], [130, 30, 130], [225, 65, 80], [255, 150, 40], [255, 245, 150]];
function heat(level) {
  const share = level / 255, at = share * (STOPS.length - 1), low = Math.min(Math.floor(at), STOPS.length - 2), part = at - low;
  const colour = STOPS[low].map((value, i) => value + part * (STOPS[low + 1][i] - value));
  return [...colour, 255 * Math.min(0.82, 1.1 * share)];
}

function overlay(canvas, picture, map, side, grid) {
  const scale = side / Math.max(...data.size);
  canvas.width = Math.round(data.size[0] * scale);
  canvas.height = Math.round(data.size[1] * scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = data.size[0] > 128;
  context.filter = "grayscale(1) brightness(0.5)";
  if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  context.filter = "none";
  context.imageSmoothingEnabled = !grid;
  context.imageSmoothingQuality = "high";
  context.drawImage(plane(bytes(map.levels), data.grid, heat), 0, 0, canvas.width, canvas.height);
}

/* A path through one value a call, in a box of the given size. */
function path(values, width, height, top) {
  const step = width / Math.max(values.length - 1, 1);
  let pen = "M";
  return values.map((value, i) => {
    if (value === null) { pen = "M"; return ""; }
    const point = `${pen}${(i * step).toFixed(1)} ${(height - (height * value) / top).toFixed(1)}`;
    pen = "L";
    return point;
  }).join("");
}

function svg(parent, name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

/* The chart, as wide as its place on the page, so that its letters keep their size. */
function drawNorms() {
  const names = ["uncond", "cond", "delta"], all = names.flatMap((name) => data.calls.map((call) => call[name + "_norm"] ?? 0));
  const top = Math.max(...all, 1e-9) * 1.05, chart = $("norms"), width = Math.max(chart.clientWidth, 200);
  chart.replaceChildren();
  chart.setAttribute("viewBox", `0 0 ${width} 180`);
  for (const part of [0, 0.5, 1]) {
    const y = 160 - 152 * part;
    svg(chart, "path", { d: `M40 ${y}H${width}`, class: "axis" });
    svg(chart, "text", { x: 34, y: y + 4, "text-anchor": "end" }, (top * part).toPrecision(2).replace(/\.0$/, ""));
  }
  const lines = svg(chart, "g", { transform: "translate(40 8)" });
  for (const name of names) svg(lines, "path", { d: path(data.calls.map((call) => call[name + "_norm"]), width - 40, 152, top), class: name });
  svg(chart, "text", { x: 40, y: 177 }, "t = " + data.calls[0].t.toFixed(0));
  svg(chart, "text", { x: width, y: 177, "text-anchor": "end" }, "t = " + data.calls.at(-1).t.toFixed(0));
  return { line: svg(lines, "line", { y1: 0, y2: 152, class: "marker" }), width: width - 40 };
}

function drawShares() {
  const chart = $("shares");
  let floor = data.calls.map(() => 0);
  for (const role of ["pads", "end", "start", "word"]) {
    const roof = floor.map((value, i) => value + data.words.reduce((sum, word, w) => sum + (word.role === role ? data.calls[i].share[w] : 0), 0));
    const steps = (values) => values.length > 1 ? values : [values[0], values[0]];
    const up = path(steps(roof), 520, 120, 1), down = path(steps(floor).slice().reverse(), 520, 120, 1);
    const back = down.replace(/[ML]([\d.]+) /g, (_, x) => `L${(520 - x).toFixed(1)} `);
    svg(chart, "path", { d: up + back + "Z", class: role });
    floor = roof;
  }
  return { line: svg(chart, "line", { y1: 0, y2: 120, class: "marker" }), width: 520 };
}

async function main() {
  document.body.classList.toggle("unguided", data.calls.every((call) => call.uncond_norm === null));
  document.body.classList.toggle("small", data.size[0] <= 128);
  const picture = await load(data.picture);
  for (const frame of data.frames) frame.guided = await load(frame.pictures.guided);
  const shares = data.words.map((_, w) => data.calls.reduce((sum, call) => sum + call.share[w], 0) / data.calls.length);
  const content = data.words.map((word, w) => (word.role === "word" ? (data.average[w].high - data.average[w].low) / shares[w] : -1));
  state.word = Math.max(content.indexOf(Math.max(...content)), 0);  // the word that looks most at one place
  const markers = [drawNorms(), drawShares()];
  const channels = data.frames[0].latents.map(() => $("latents").appendChild(document.createElement("canvas")));
  $("channels").textContent = `${data.frames[0].latents.length} channels of ${data.latent_size.join(" × ")}`;

  const cards = data.words.map((word, w) => {
    const card = document.createElement("button"), canvas = document.createElement("canvas");
    const label = document.createElement("b"), share = document.createElement("span");
    card.type = "button";
    card.className = "card " + word.role;
    label.textContent = word.label + (word.weight === 1 ? "" : ` × ${+word.weight.toPrecision(4)}`);
    card.append(canvas, label, share);
    card.onclick = () => { state.word = w; show(); };
    $("cards").append(card);
    return { card, canvas, share };
  });

  function show() {
    const frame = data.frames[state.frame], call = data.calls[frame.i];
    for (const name of ["x_t", "uncond", "cond", "guided"]) {
      if (frame.pictures[name]) $(name).src = frame.pictures[name];
      else $(name).removeAttribute("src");
    }
    document.querySelector(".walk").classList.toggle("unguided", call.uncond_norm === null);
    $("where").textContent = `call ${frame.i + 1} of ${data.calls.length} · t ${call.t.toFixed(0)} · σ ${call.sigma.toPrecision(3)}`;
    $("slider").setAttribute("aria-valuetext", $("where").textContent);
    const norm = (name) => (call[name] === null ? "" : `norm ${call[name].toFixed(1)}`);
    $("n-x").textContent = norm("x_norm");
    $("n-uncond").textContent = norm("uncond_norm");
    $("n-cond").textContent = norm("cond_norm");
    $("n-delta").textContent = call.delta_norm === null ? norm("cond_norm") : `difference ${call.delta_norm.toFixed(1)}, cos ${call.cosine.toFixed(3)}`;
    channels.forEach((canvas, c) => {
      const grey = plane(bytes(frame.latents[c]), data.latent_size, (level) => [level, level, level, 255]);
      [canvas.width, canvas.height] = [grey.width, grey.height];
      canvas.getContext("2d").drawImage(grey, 0, 0);
    });
    const part = frame.i / Math.max(data.calls.length - 1, 1);
    for (const { line, width } of markers) {
      line.setAttribute("x1", width * part);
      line.setAttribute("x2", width * part);
    }
    const maps = state.now ? frame.maps : data.average, under = state.now ? frame.guided : picture;
    const share = (w) => (state.now ? call.share[w] : shares[w]);
    cards.forEach(({ card, canvas, share: label }, w) => {
      overlay(canvas, under, maps[w], 112, state.grid);
      label.textContent = percent(share(w));
      card.setAttribute("aria-pressed", w === state.word);
    });
    const map = maps[state.word], word = data.words[state.word];
    overlay($("overlay"), under, map, 512, state.grid);
    const name = word.role === "word" ? `“${word.label}”` : word.label;
    $("legend").textContent = `${name}: ${percent(share(state.word))} of all attention; dark ${percent(map.low)}, bright ${percent(map.high)} of a spot`;
  }

  let playing = null;
  function button(sign, says) {
    $("play").firstElementChild.textContent = sign;
    $("play").setAttribute("aria-label", says);
  }
  function play() {
    if (playing) { clearInterval(playing); playing = null; button("▶", "play"); return; }
    if (state.frame === last) state.frame = -1;
    button("❚❚", "pause");
    playing = setInterval(() => {
      state.frame += 1;
      $("slider").value = state.frame;
      show();
      if (state.frame === last) play();
    }, 160);
  }
  $("play").onclick = play;
  $("slider").max = last;
  $("slider").value = state.frame;
  $("slider").oninput = () => { state.frame = Number($("slider").value); show(); };
  $("grid").onchange = () => { state.grid = $("grid").checked; show(); };
  for (const choice of document.querySelectorAll("input[name=when]")) choice.onchange = () => { state.now = choice.value === "call"; show(); };
  addEventListener("resize", () => { markers[0] = drawNorms(); show(); });
  show();
  document.body.dataset.ready = "yes";
}
main();
