"use strict";
(() => {
  const data = JSON.parse(document.getElementById("fieldplayer-data").textContent);
  const player = document.getElementById("fieldplayer");
  const find = name => player.querySelector(`[data-part="${name}"]`);
  const [slider, play, date, where] = ["slider", "play", "date", "where"].map(find);
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const arrays = data.arrays.map(bytes);
  const scales = data.scales;
  for (const scale of Object.values(scales)) scale.table = bytes(scale.colours);
  const [nlat, nlon, frames] = [data.lat.length, data.lon.length, data.dates.length];
  const state = { entry: 0, row: 0, frame: frames - 1, cell: null, timer: 0 };

  const make = (tag, parent, name) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    return parent.appendChild(element);
  };

  const decode = (map, cell) => {
    const { row, frame } = state, byte = arrays[map.array[row]][frame * nlat * nlon + cell];
    return byte === data.missing ? NaN : map.low[row][frame] + map.step[row][frame] * byte;
  };

  // Byte -> colour for this frame: value = low + step * byte, then its place in the scale.
  const colours = map => {
    const scale = scales[map.scale], [low, high] = scale.range[state.row], look = new Uint8Array(768);
    for (let byte = 0; byte < data.missing; byte++) {
      const value = map.low[state.row][state.frame] + map.step[state.row][state.frame] * byte;
      const place = Math.max(0, Math.min(255, Math.round(255 * (value - low) / (high - low))));
      look.set(scale.table.subarray(3 * place, 3 * place + 3), 3 * byte);
    }
    look.fill(190, 3 * data.missing, 3 * data.missing + 3);
    return look;
  };

  const paint = (canvas, map) => {
    const context = canvas.getContext("2d"), image = context.createImageData(nlon, nlat);
    const start = state.frame * nlat * nlon, codes = arrays[map.array[state.row]], look = colours(map);
    for (let cell = 0; cell < nlat * nlon; cell++) {
      const byte = codes[start + cell];
      for (let c = 0; c < 3; c++) image.data[4 * cell + c] = look[3 * byte + c];
      image.data[4 * cell + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };

  const digits = scale => {
    const [low, high] = scale.range[state.row];
    return Math.max(0, Math.min(4, 2 - Math.floor(Math.log10(high - low))));
  };
  const number = (value, scale, sign) => {
    const text = value.toFixed(digits(scale));
    return (sign && value > 0 ? "+" : "") + text.replace("-", "\u2212");
  };
  const degrees = (value, positive, negative) => `${Math.abs(value).toFixed(1)}\u00b0${value < 0 ? negative : positive}`;
  const place = cell => {
    const east = (data.lon[cell % nlon] + 180 + 360) % 360 - 180;
    return `${degrees(data.lat[Math.floor(cell / nlon)], "N", "S")}, ${degrees(east, "E", "W")}`;
  };

  const panels = new Map(), bars = [];
  const drawPanel = (kind, title) => {
    const box = make("div", find(kind), "map");
    const head = make("div", box, "maphead");
    make("strong", head).textContent = title;
    const value = make("span", head, "value");
    const frame = make("div", box, "frame"), canvas = make("canvas", frame);
    Object.assign(canvas, { width: nlon, height: nlat });
    canvas.setAttribute("role", "img");
    frame.style.aspectRatio = `${nlon} / ${nlat}`;
    graticule(frame);
    const mark = make("div", frame, "mark");
    canvas.addEventListener("pointermove", event => point(canvas, event));
    canvas.addEventListener("pointerdown", event => point(canvas, event));
    panels.set(title, { box, canvas, value, mark });
  };

  const point = (canvas, event) => {
    const box = canvas.getBoundingClientRect();
    const part = (at, size, count) => Math.max(0, Math.min(count - 1, Math.floor(at / size * count)));
    const y = part(event.clientY - box.top, box.height, nlat);
    state.cell = y * nlon + part(event.clientX - box.left, box.width, nlon);
    readout();
  };

  const across = (axis, value) => {
    const step = (axis[axis.length - 1] - axis[0]) / Math.max(1, axis.length - 1);
    return 100 * ((value - axis[0]) / step + 0.5) / axis.length;
  };
  const graticule = frame => {
    const line = (name, side, at) => {
      if (at > 1 && at < 99) make("i", frame, name).style[side] = `${at}%`;
    };
    for (let lat = -60; lat <= 60; lat += 30) line("parallel", "top", across(data.lat, lat));
    for (let lon = -180; lon <= 360; lon += 60) line("meridian", "left", across(data.lon, lon));
  };

  const drawBar = kind => {
    const box = make("div", find(kind + "-bar"), "bar"), canvas = make("canvas", box);
    Object.assign(canvas, { width: 256, height: 1 });
    const context = canvas.getContext("2d"), image = context.createImageData(256, 1);
    for (let n = 0; n < 256; n++) image.data.set([...scales[kind].table.subarray(3 * n, 3 * n + 3), 255], 4 * n);
    context.putImageData(image, 0, 0);
    bars.push({ kind, texts: ["low", "middle", "high"].map(name => make("span", box, name)) });
  };

  // Root mean square over the map, weighted with area, of every frame: [values of a map of errors or spread].
  const weights = data.lat.map(lat => Math.cos(lat * Math.PI / 180));
  const rms = map => data.dates.map((_, frame) => {
    const codes = arrays[map.array[state.row]], start = frame * nlat * nlon;
    let total = 0, weight = 0;
    for (let cell = 0; cell < nlat * nlon; cell++) {
      if (codes[start + cell] === data.missing) continue;
      const w = weights[Math.floor(cell / nlon)];
      total += w * (map.low[state.row][frame] + map.step[state.row][frame] * codes[start + cell]) ** 2;
      weight += w;
    }
    return weight ? Math.sqrt(total / weight) : 0;
  });
  const inks = { "Error of the ensemble mean": "#0b6e83", "Error of the coarse run": "#c1552b", "Ensemble spread": "#8c2981" };
  let lines = [];
  const drawTimeline = () => {
    const box = find("timeline"), svg = box.querySelector("svg");
    const shown = data.entries[state.entry].maps.filter(map => map.scale !== "field");
    lines = shown.map(map => ({ title: map.title, values: rms(map), ink: inks[map.title] }));
    const top = 1.2 * Math.max(...lines.flatMap(line => line.values)) || 1;
    svg.replaceChildren();
    for (const { values, ink } of lines) {
      const line = svg.appendChild(document.createElementNS(svg.namespaceURI, "polyline"));
      line.setAttribute("stroke", ink);
      line.setAttribute("points", values.map((v, n) => `${1000 * n / Math.max(1, frames - 1)},${100 - 100 * v / top}`).join(" "));
    }
    box.querySelector(".top").textContent = `${top.toPrecision(2)} ${data.units}`;
    find("keys").replaceChildren("Root mean square over the map:");
    for (const line of lines) {
      const key = make("span", find("keys"));
      key.style.color = line.ink;
      key.append(`${line.title} `);
      line.key = make("b", key);
    }
  };
  const drawCursor = () => {
    find("timeline").querySelector(".cursor").style.left = `${100 * state.frame / Math.max(1, frames - 1)}%`;
    for (const line of lines) line.key.textContent = `${line.values[state.frame].toPrecision(3)} ${data.units}`;
  };

  const readout = () => {
    const maps = data.entries[state.entry].maps;
    for (const map of maps) {
      const { value, mark } = panels.get(map.title), scale = scales[map.scale];
      if (state.cell === null) continue;
      const x = decode(map, state.cell);
      value.textContent = isNaN(x) ? "no value" : `${number(x, scale, map.scale === "error")} ${data.units}`;
      mark.style.display = "block";
      mark.style.left = `${100 * (state.cell % nlon + 0.5) / nlon}%`;
      mark.style.top = `${100 * (Math.floor(state.cell / nlon) + 0.5) / nlat}%`;
    }
    where.textContent = state.cell === null ? "Point at a map to read its values." : `At ${place(state.cell)}`;
  };

  const render = () => {
    const maps = data.entries[state.entry].maps, now = data.dates[state.frame];
    for (const panel of panels.values()) panel.box.hidden = true;
    for (const map of maps) {
      const { box, canvas } = panels.get(map.title);
      box.hidden = false;
      canvas.setAttribute("aria-label", `${map.title}, ${data.rows[state.row].toLowerCase()}, ${now}`);
      paint(canvas, map);
    }
    for (const { kind, texts } of bars) {
      const [low, high] = scales[kind].range[state.row], sign = kind === "error";
      [low, (low + high) / 2, high].forEach((v, n) => {
        texts[n].textContent = number(v, scales[kind], sign) + (n === 2 ? ` ${data.units}` : "");
      });
    }
    player.querySelector(".lower").classList.toggle("single", maps.filter(map => map.scale === "error").length < 2);
    date.textContent = now;
    slider.value = state.frame;
    slider.setAttribute("aria-valuetext", now);
    for (const button of find("rows").children) {
      button.setAttribute("aria-pressed", String(Number(button.value) === state.row));
    }
    drawCursor();
    readout();
  };
  const change = part => { Object.assign(state, part); drawTimeline(); render(); };

  const stop = () => {
    clearInterval(state.timer);
    state.timer = 0;
    play.textContent = "\u25b6 Play";
    play.setAttribute("aria-pressed", "false");
  };
  const start = () => {
    state.timer = setInterval(() => { state.frame = (state.frame + 1) % frames; render(); }, 220);
    play.textContent = "\u275a\u275a Pause";
    play.setAttribute("aria-pressed", "true");
  };

  for (const entry of data.entries) {
    for (const { title, scale } of entry.maps) if (!panels.has(title)) drawPanel(scale, title);
  }
  Object.keys(scales).forEach(drawBar);
  data.rows.forEach((text, n) => {
    const button = make("button", find("rows"));
    Object.assign(button, { type: "button", value: n, textContent: text });
    button.addEventListener("click", () => change({ row: n }));
  });
  if (data.entries.length > 1) {
    const choice = find("entry");
    data.entries.forEach(({ name }, n) => { Object.assign(make("option", choice), { value: n, textContent: name }); });
    choice.addEventListener("change", () => change({ entry: Number(choice.value) }));
    choice.parentElement.hidden = false;
  }
  slider.max = frames - 1;
  slider.addEventListener("input", () => { stop(); state.frame = Number(slider.value); render(); });
  play.addEventListener("click", () => state.timer ? stop() : start());
  find("timeline").addEventListener("pointerdown", event => {
    const box = find("timeline").getBoundingClientRect();
    stop();
    state.frame = Math.max(0, Math.min(frames - 1, Math.round((event.clientX - box.left) / box.width * (frames - 1))));
    render();
  });
  player.hidden = false;
  stop();
  change({});
})();
