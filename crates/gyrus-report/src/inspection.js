"use strict";
// Makes the page interactive: selects tokens, enlarges attention maps, and shows cells of the logit lens.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (selector) => document.querySelector(selector);
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const text = (index) => "“" + data.texts[index] + "”";
  const count = data.tokens.length;
  const percent = (share) => {
    const value = share * 100;
    return (value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(2)) + " %";
  };
  const bars = (rows) => {
    const list = make("ol", undefined, "bars");
    for (const [name, share, mark, note] of rows) {
      const row = make("li", undefined, mark ? "mark" : "");
      row.style.setProperty("--share", (share * 100).toFixed(2) + "%");
      row.append(make("span", name, "name"), make("span", percent(share) + (note ? " · " + note : ""), "share"));
      list.append(row);
    }
    return list;
  };
  const replace = (panel, ...children) => panel.replaceChildren(...children);

  // Arrow keys move within a group; the tab key reaches one element of it.
  const roving = (elements, columns, choose) => {
    const take = (index, focus) => {
      elements.forEach((element, i) => { element.tabIndex = i === index ? 0 : -1; });
      if (focus) elements[index].focus();
    };
    elements.forEach((element, index) => {
      element.addEventListener("click", () => { take(index, false); choose(index); });
      element.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
        const to = event.key === "Home" ? 0 : event.key === "End" ? elements.length - 1 : index + step;
        if (!(to >= 0 && to < elements.length)) return;
        event.preventDefault();
        take(to, true);
        choose(to);
      });
    });
    return take;
  };
  const press = (elements, index) =>
    elements.forEach((element, i) => element.setAttribute("aria-pressed", String(i === index)));

  // The input: what was expected in place of each token, and after the last one.
  const tokens = all(".token");
  const panel = find("#expected");
  const showToken = (index) => {
    press(tokens, index);
    if (!data.next) return;
    if (index === 0) {
      return replace(panel, make("h3", text(data.tokens[0]) + " is the first token: nothing was expected"));
    }
    const own = data.tokens[index];
    const rows = data.next[index - 1].map(([token, share]) => [data.texts[token], share, token === own]);
    let title = "Expected after the whole input";
    if (index < count) {
      title = "Expected in place of " + text(own);
      if (!rows.some((row) => row[2])) {
        rows.push([data.texts[own], data.probability[index], true, "rank " + data.rank[index]]);
      }
    }
    const children = [make("h3", title), bars(rows)];
    if (index < count) {
      const bits = data.surprisal[index].toFixed(1);
      children.push(make("p", bits + " bits of surprise; rank " + data.rank[index], "soft"));
    }
    replace(panel, ...children);
  };
  const takeToken = roving(tokens, 1, (index) => {
    showToken(index);
    if (index < count) showRow(index);
  });
  tokens.forEach((token, index) => token.addEventListener("mouseenter", () => showToken(index)));
  takeToken(tokens.length - 1, false);
  showToken(tokens.length - 1);

  // The maps: one is enlarged, and the values of one of its cells are shown.
  const maps = all(".map");
  const canvas = find("#large canvas");
  const place = find("#cell");
  const looks = find("#looks");
  const sheet = document.createElement("canvas");
  let values = null, chosen = 0, row = count - 1, column = 0, cell = 0, left = 0, top = 0;
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const width = canvas.parentElement.clientWidth;
    const scale = window.devicePixelRatio || 1;
    left = Math.round(Math.min(120, width * 0.24));
    top = Math.round(Math.min(90, width * 0.2));
    cell = Math.min((width - left) / count, 48);
    const [across, down] = [left + cell * count, top + cell * count];
    canvas.width = Math.round(across * scale);
    canvas.height = Math.round(down * scale);
    canvas.style.width = across + "px";
    canvas.style.height = down + "px";
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.fillStyle = color("--card");
    pen.fillRect(left, top, across, down);
    if (!values) return;
    // The image is black; it is drawn in the accent color of the page.
    const ink = sheet.getContext("2d");
    ink.globalCompositeOperation = "source-in";
    ink.fillStyle = color("--accent");
    ink.fillRect(0, 0, count, count);
    pen.imageSmoothingEnabled = cell * scale < 1;
    pen.drawImage(sheet, left, top, cell * count, cell * count);
    pen.strokeStyle = color("--rule");
    pen.strokeRect(left - 0.5, top - 0.5, cell * count + 1, cell * count + 1);
    const size = Math.max(9, Math.min(12.5, cell));
    pen.font = size + "px system-ui, 'DejaVu Sans', sans-serif";
    pen.textBaseline = "middle";
    const every = Math.max(1, Math.ceil((size + 1) / cell));
    const label = (index, limit) => {
      let name = data.texts[data.tokens[index]];
      while (name.length > 1 && pen.measureText(name).width > limit) name = name.slice(0, -2) + "…";
      return name;
    };
    for (let i = 0; i < count; i++) {
      if (i % every !== 0 && i !== row && i !== column) continue;
      const near = (other) => i !== other && Math.abs(i - other) * cell < size;
      if (!near(row)) {
        pen.fillStyle = color(i === row ? "--ink" : "--soft");
        pen.textAlign = "right";
        pen.fillText(label(i, left - 10), left - 6, top + (i + 0.5) * cell);
      }
      if (near(column)) continue;
      pen.fillStyle = color(i === column ? "--ink" : "--soft");
      pen.save();
      pen.translate(left + (i + 0.5) * cell, top - 6);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "left";
      pen.fillText(label(i, top - 10), 0, 0);
      pen.restore();
    }
    pen.strokeStyle = color("--warm");
    pen.lineWidth = 1.5;
    pen.strokeRect(left, top + row * cell, cell * count, cell);
    pen.strokeRect(left + column * cell, top + row * cell, cell, cell);
  };
  // The image holds the square root of each probability.
  const share = (i, j) => (values[i * count + j] / 255) ** 2;
  const read = () => {
    if (!values) return;
    const [from, to] = [data.tokens[row], data.tokens[column]];
    const seen = data.next && column > row ? "nothing: it comes later" : percent(share(row, column));
    place.textContent = text(from) + " (" + row + ") gives " + text(to) + " (" + column + ") " + seen;
    const order = Array.from({ length: count }, (_, j) => [share(row, j), j]).filter(([value]) => value > 0);
    order.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
    const rows = order.slice(0, 8).map(([value, j]) => [data.texts[data.tokens[j]], value, j === column, "at " + j]);
    replace(looks, make("h3", text(from) + " attends to"), bars(rows));
    draw();
  };
  const strongest = () => {
    column = 0;
    for (let j = 1; j < count; j++) if (values[row * count + j] > values[row * count + column]) column = j;
  };
  const showRow = (index) => {
    row = index;
    if (!values) return;
    strongest();
    read();
  };
  const showMap = (index) => {
    chosen = index;
    press(maps, index);
    const picture = maps[index].querySelector("img");
    find("#large figcaption").textContent = picture.alt + (maps[index].title ? " · " + maps[index].title : "");
    const paint = () => {
      if (chosen !== index) return;
      // Setting the size clears the canvas and its color.
      sheet.width = sheet.height = count;
      const pen = sheet.getContext("2d", { willReadFrequently: true });
      pen.drawImage(picture, 0, 0, count, count);
      const pixels = pen.getImageData(0, 0, count, count).data;
      values = Uint8Array.from({ length: count * count }, (_, i) => pixels[4 * i + 3]);
      strongest();
      read();
    };
    picture.decode().then(paint, () => { place.textContent = "This browser cannot show the image."; });
  };
  const takeMap = roving(maps, data.heads, showMap);
  const go = (index) => {
    takeMap(index, false);
    showMap(index);
  };
  all(".go").forEach((button) => button.addEventListener("click", () => {
    go(Number(button.dataset.map));
    find("#large").scrollIntoView({ block: "nearest" });
  }));
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    const i = Math.floor((event.clientY - box.top - top) / cell);
    const j = Math.floor((event.clientX - box.left - left) / cell);
    if (i < 0 || i >= count || j >= count) return;
    row = i;
    if (j >= 0) column = j; else strongest();
    read();
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    row = Math.max(0, Math.min(count - 1, row + step[0]));
    column = Math.max(0, Math.min(count - 1, column + step[1]));
    read();
  });
  // In the next frame, because drawing may change the observed size.
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(canvas.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  find("#large").hidden = false;
  if (maps.length) go(data.first);

  // The lens.
  const cells = all(".lens td button");
  const lens = find("#lens-cell");
  const showCell = (index) => {
    const [layer, at] = [Math.floor(index / count), index % count];
    press(cells, index);
    const [top, answer, rank] = data.lens[layer][at];
    const name = layer === 0 ? "the embedding" : "layer " + (layer - 1);
    const rows = top.map(([token, share]) => [data.texts[token], share, at + 1 < count && token === data.tokens[at + 1]]);
    let said = "The model's final prediction has a probability of " + percent(answer) + " here";
    if (rank !== null) said += "; the actual next token, " + text(data.tokens[at + 1]) + ", has rank " + rank;
    const title = "After " + text(data.tokens[at]) + " (" + at + "), decoded after " + name;
    replace(lens, make("h3", title), bars(rows), make("p", said, "soft"));
  };
  if (cells.length) {
    lens.hidden = false;
    const takeCell = roving(cells, count, showCell);
    takeCell(cells.length - 1, false);
    showCell(cells.length - 1);
  }
})();
