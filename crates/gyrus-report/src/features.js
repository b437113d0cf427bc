"use strict";
// Lets a person choose a unit, see what is known of it, and follow it to the units below and above.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined && text !== null) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const panel = document.getElementById("unit-panel");
  if (!panel) return;
  const color = (name) => {
    const probe = make("i");
    probe.style.color = "var(" + name + ")";
    document.body.append(probe);
    const numbers = getComputedStyle(probe).color.match(/[\d.]+/g).map(Number);
    probe.remove();
    return numbers;
  };
  let theme;
  const readTheme = () => { theme = { plus: color("--warm"), minus: color("--accent"), zero: color("--card") }; };
  readTheme();

  // A map of signed bytes as a canvas: one color for each sign, or gray levels about the middle for three channels.
  const canvasOf = (map) => {
    const [height, width, channels, , text] = map;
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const canvas = make("canvas");
    canvas.width = width;
    canvas.height = height;
    canvas.style.imageRendering = "pixelated";
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(width, height);
    for (let pixel = 0; pixel < width * height; pixel++) {
      const value = (c) => (bytes[pixel * channels + c] << 24 >> 24) / 127;
      for (let c = 0; c < 3; c++) {
        let shade;
        if (channels === 3) shade = 127.5 + 127.5 * value(c);
        else {
          const share = Math.abs(value(0));
          shade = theme.zero[c] + (theme[value(0) < 0 ? "minus" : "plus"][c] - theme.zero[c]) * share;
        }
        image.data[4 * pixel + c] = Math.round(shade);
      }
      image.data[4 * pixel + 3] = 255;
    }
    pen.putImageData(image, 0, 0);
    return canvas;
  };
  const nameOf = (layer, unit) => unit.name || "unit " + unit.number;
  const find = (layer, number) => data.layers[layer].units.find((unit) => unit.number === number);
  const buttonOf = (layer, number) => document.getElementById("unit-" + layer + "-" + number);
  const number = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
  const figure = (picture, caption, className) => {
    const element = make("figure", undefined, className);
    element.append(picture, make("figcaption", caption));
    return element;
  };

  // The examples, with what the unit sees of them.
  const examples = (unit) => {
    const list = make("div", undefined, "strip");
    unit.top.forEach(([value, label, patch, picture]) => {
      const cut = make("span");
      cut.style.backgroundImage = "url(" + data.pictures[picture] + ")";
      cut.style.backgroundSize = "100% 100%";
      cut.setAttribute("role", "img");
      cut.setAttribute("aria-label", "example of class " + label + ", activation " + number(value));
      if (patch) {
        const box = make("i");
        ["top", "left", "height", "width"].forEach((side, i) => { box.style[side] = patch[i] * 100 + "%"; });
        cut.append(box);
      }
      const element = make("figure");
      element.append(cut, make("small", label + " · " + number(value)));
      list.append(element);
    });
    return list;
  };
  const links = (list, title, nothing) => {
    const part = make("div");
    part.append(make("h3", title));
    if (!list.length) {
      part.append(make("p", nothing, "soft"));
      return part;
    }
    const row = make("div", undefined, "links");
    for (const [layer, unit, sum, norm, weights] of list) {
      const other = find(layer, unit);
      const button = make("button");
      button.type = "button";
      button.append(canvasOf(weights));
      if (other && other.best) {
        const picture = make("img");
        picture.src = other.best;
        picture.alt = "";
        button.append(picture);
      }
      const text = make("span", data.layers[layer].name + " " + ((other && other.name) || unit));
      text.append(make("small", (sum < 0 ? "inhibits, " : "excites, ") + number(sum)));
      button.append(text);
      button.title = "sum of the weights " + number(sum) + ", norm " + number(norm);
      if (other) button.addEventListener("click", () => choose(layer, unit, true));
      else button.disabled = true;
      row.append(button);
    }
    part.append(row);
    return part;
  };

  let chosen = null;
  const choose = (layer, numberOfUnit, moves) => {
    const unit = find(layer, numberOfUnit);
    const button = buttonOf(layer, numberOfUnit);
    if (!unit || !button) return;
    chosen = [layer, numberOfUnit];
    all(".unit").forEach((other) => {
      other.setAttribute("aria-pressed", String(other === button));
      other.classList.remove("related");
    });
    for (const [other, number] of [...unit.below, ...unit.above]) {
      const related = buttonOf(other, number);
      if (related) related.classList.add("related");
    }
    const grid = button.parentElement;
    all(".unit", grid).forEach((other) => { other.tabIndex = other === button ? 0 : -1; });
    const parts = make("div", undefined, "unit-parts");
    if (unit.filter) parts.append(figure(canvasOf(unit.filter), "filter, up to ±" + number(unit.filter[3])));
    if (unit.best) {
      const picture = make("img");
      picture.src = unit.best;
      picture.alt = "a synthesized picture that excites this unit";
      parts.append(figure(picture, "synthesized", "best"));
    }
    if (unit.triggered) parts.append(figure(canvasOf(unit.triggered), data.trigger));
    const facts = make("dl", undefined, "unit-facts");
    for (const [label, value] of unit.facts) {
      const row = make("div");
      row.append(make("dt", label), make("dd", value));
      facts.append(row);
    }
    parts.append(facts);
    panel.replaceChildren(make("h3", data.layers[layer].name + ", " + nameOf(layer, unit)), parts);
    if (unit.top.length) panel.append(make("h3", "Examples that excite it most, with what it sees of them"), examples(unit));
    if (layer > 0 || unit.below.length) {
      panel.append(links(unit.below, "Listens to", "No weights from a layer below."));
    }
    panel.append(links(unit.above, "Reaches", "Nothing: its answer is the network's."));
    panel.hidden = false;
    panel.dataset.unit = data.layers[layer].name + "." + numberOfUnit;
    grid.after(panel);
    if (moves) panel.scrollIntoView({ block: "nearest" });
    const address = "#unit=" + encodeURIComponent(data.layers[layer].name) + "." + numberOfUnit;
    if (location.hash !== address) history.replaceState(null, "", address);
  };

  all(".grid-of-units").forEach((grid) => {
    const layer = Number(grid.dataset.layer);
    const units = all(".unit", grid);
    units.forEach((button, index) => {
      button.tabIndex = index === 0 ? 0 : -1;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => choose(layer, Number(button.dataset.number), false));
      button.addEventListener("keydown", (event) => {
        const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
        const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
        const to = event.key === "Home" ? 0 : event.key === "End" ? units.length - 1 : index + step;
        if (!(to >= 0 && to < units.length)) return;
        event.preventDefault();
        units[to].focus();
        choose(layer, Number(units[to].dataset.number), false);
      });
    });
  });

  // What the grid shows.
  const kinds = [["synthesized", "best"], [data.trigger, "triggered"], ["most exciting example", "top"], ["filter", "filter"]];
  const has = (kind) => data.layers.some((layer) =>
    layer.units.some((unit) => kind === "top" ? unit.top.length : unit[kind]));
  const views = document.querySelector(".views");
  const pictureOf = (unit, kind) => {
    if (kind !== "best") return unit[kind] ? canvasOf(unit[kind]).toDataURL() : null;
    return unit.best;
  };
  const show = (kind) => {
    data.layers.forEach((layer, index) => layer.units.forEach((unit) => {
      const button = buttonOf(index, unit.number);
      if (!button) return;
      let picture = button.firstElementChild;
      const paint = (source) => {
        const image = make("img");
        image.alt = "";
        image.src = source;
        picture.replaceWith(image);
      };
      if (kind === "top" && unit.top.length) {
        const whole = new Image();
        whole.onload = () => {
          const canvas = make("canvas");
          // What the unit sees of the first example.
          const [top, left, height, width] = unit.top[0][2] || [0, 0, 1, 1];
          canvas.width = Math.round(width * whole.width);
          canvas.height = Math.round(height * whole.height);
          canvas.getContext("2d").drawImage(whole, -Math.round(left * whole.width), -Math.round(top * whole.height));
          picture = button.firstElementChild;
          paint(canvas.toDataURL());
        };
        whole.src = data.pictures[unit.top[0][3]];
        return;
      }
      const source = pictureOf(unit, kind);
      if (source) paint(source);
    }));
    all("button", views).forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.kind === kind)));
  };
  const present = kinds.filter(([, kind]) => has(kind));
  if (present.length > 1) {
    for (const [label, kind] of present) {
      const button = make("button", label);
      button.type = "button";
      button.dataset.kind = kind;
      button.addEventListener("click", () => show(kind));
      views.append(button);
    }
    views.hidden = false;
    all("button", views)[0].setAttribute("aria-pressed", "true");
  }

  // Spikes over time.
  const maps = all(".spike-map").map((canvas) => {
    const [height, width, steps, text] = data.spikes[Number(canvas.dataset.layer)];
    canvas.width = width;
    canvas.height = height;
    return { canvas, height, width, steps, counts: Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)) };
  });
  if (maps.length) {
    const slider = document.getElementById("step");
    const play = document.getElementById("play");
    const last = Math.max(...maps.map((map) => map.steps));
    slider.max = String(last);
    const drawStep = () => {
      const step = Number(slider.value) - 1;
      document.getElementById("step-shown").textContent = "step " + (step + 1) + " of " + last;
      for (const { canvas, height, width, steps, counts } of maps) {
        const pen = canvas.getContext("2d");
        const image = pen.createImageData(width, height);
        for (let place = 0; place < width * height; place++) {
          const share = step < steps ? counts[step * width * height + place] / 255 : 0;
          for (let c = 0; c < 3; c++) image.data[4 * place + c] = theme.zero[c] + (theme.plus[c] - theme.zero[c]) * share;
          image.data[4 * place + 3] = 255;
        }
        pen.putImageData(image, 0, 0);
      }
    };
    let timer = null;
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "play"; };
    play.addEventListener("click", () => {
      if (timer) return stop();
      play.textContent = "pause";
      timer = setInterval(() => {
        slider.value = String(Number(slider.value) % last + 1);
        drawStep();
      }, 400);
    });
    slider.addEventListener("input", drawStep);
    document.querySelector(".player").hidden = false;
    drawStep();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); drawStep(); });
  }

  const follow = () => {
    const match = /^#unit=(.+)\.(\d+)$/.exec(location.hash);
    if (!match) return;
    const name = decodeURIComponent(match[1]);
    const layer = data.layers.findIndex((other) => other.name === name);
    if (layer >= 0) choose(layer, Number(match[2]), true);
  };
  addEventListener("hashchange", follow);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readTheme();
    if (chosen) choose(chosen[0], chosen[1], false);
  });
  follow();
})();
