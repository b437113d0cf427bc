"use strict";
(() => {
  const canvas = document.getElementById("solid");
  const gl = canvas.getContext("webgl2", { antialias: true, alpha: true, premultipliedAlpha: true });
  if (!gl) return;
  const data = JSON.parse(document.getElementById("data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const packed = new Uint16Array(bytes(data.positions));
  const faces = new Uint32Array(bytes(data.faces));
  const colors = new Uint8Array(bytes(data.colors));
  const positions = Float32Array.from(packed, (value, i) => value / 65535 - data.extent[i % 3] / 2);
  const normals = new Float32Array(positions.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
    const u = [0, 1, 2].map((k) => positions[b + k] - positions[a + k]);
    const v = [0, 1, 2].map((k) => positions[c + k] - positions[a + k]);
    const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    for (const corner of [a, b, c]) for (let k = 0; k < 3; k++) normals[corner + k] += n[k];
  }
  const shader = (kind, text) => {
    const own = gl.createShader(kind);
    gl.shaderSource(own, text);
    gl.compileShader(own);
    return own;
  };
  const program = gl.createProgram();
  gl.attachShader(program, shader(gl.VERTEX_SHADER, `#version 300 es
    in vec3 position; in vec3 normal; in vec3 color; uniform mat4 view; uniform mat3 turn; out vec3 n; out vec3 base;
    void main() { gl_Position = view * vec4(position, 1.0); n = turn * normal; base = color; }`));
  gl.attachShader(program, shader(gl.FRAGMENT_SHADER, `#version 300 es
    precision highp float; in vec3 n; in vec3 base; out vec4 result;
    void main() {
      float lit = abs(dot(normalize(n + vec3(1e-9)), normalize(vec3(-0.4, 0.45, 0.8))));
      result = vec4(base * (0.35 + 0.65 * lit), 1.0);
    }`));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return;
  gl.useProgram(program);
  const attribute = (name, values, kind, normalized) => {
    const place = gl.getAttribLocation(program, name);
    if (!values.length) {
      gl.vertexAttrib3f(place, 0.72, 0.72, 0.74);
      return;
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 3, kind, normalized, 0, 0);
  };
  attribute("position", positions, gl.FLOAT, false);
  attribute("normal", normals, gl.FLOAT, false);
  attribute("color", colors, gl.UNSIGNED_BYTE, true);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
  gl.enable(gl.DEPTH_TEST);
  const radius = Math.hypot(...data.extent) / 2 || 1;
  const start = { azimuth: 0.6, elevation: 0.3, distance: (1.05 * radius) / Math.sin(0.3) };
  let { azimuth, elevation, distance } = start;
  let turning = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  let asked = false;
  const draw = () => {
    asked = false;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [wide, high] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    gl.viewport(0, 0, wide, high);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const [ca, sa, ce, se] = [Math.cos(azimuth), Math.sin(azimuth), Math.cos(elevation), Math.sin(elevation)];
    const rows = [[ca, 0, -sa], [-se * sa, ce, -se * ca], [ce * sa, se, ce * ca]];
    const turn = [0, 1, 2].flatMap((column) => rows.map((row) => row[column]));
    const focal = (1 / Math.tan(0.3)) * Math.min(1, wide / high);
    const [near, far] = [Math.max(distance - 1.1 * radius, 0.01 * radius), distance + 1.1 * radius];
    const view = new Float32Array(16);
    for (let column = 0; column < 3; column++) {
      view[4 * column] = (focal * high / wide) * rows[0][column];
      view[4 * column + 1] = focal * rows[1][column];
      view[4 * column + 2] = (-(far + near) / (far - near)) * rows[2][column];
      view[4 * column + 3] = -rows[2][column];
    }
    view[14] = ((far + near) / (far - near)) * distance - (2 * far * near) / (far - near);
    view[15] = distance;
    gl.uniformMatrix4fv(gl.getUniformLocation(program, "view"), false, view);
    gl.uniformMatrix3fv(gl.getUniformLocation(program, "turn"), false, new Float32Array(turn));
    gl.drawElements(gl.TRIANGLES, faces.length, gl.UNSIGNED_INT, 0);
    if (turning) {
      azimuth += 0.006;
      ask();
    }
  };
  const ask = () => {
    if (!asked) {
      asked = true;
      requestAnimationFrame(draw);
    }
  };
  const closer = (factor) => {
    distance = Math.min(Math.max(distance * factor, 1.2 * radius), 20 * radius);
    ask();
  };
  const turned = (x, y) => {
    turning = false;
    azimuth += x;
    elevation = Math.min(Math.max(elevation + y, -1.5), 1.5);
    ask();
  };
  const pointers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    turning = false;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const apart = () => {
      const [a, b] = [...pointers.values()];
      return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1;
    };
    if (pointers.size === 2) {
      const old = apart();
      pointers.set(event.pointerId, event);
      closer(old / apart());
      return;
    }
    pointers.set(event.pointerId, event);
    turned((before.clientX - event.clientX) * 0.01, (event.clientY - before.clientY) * 0.01);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    closer(Math.exp(event.deltaY * 0.001));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => {
    ({ azimuth, elevation, distance } = start);
    ask();
  });
  canvas.addEventListener("keydown", (event) => {
    const ways = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    if (ways[event.key]) turned(...ways[event.key]);
    else if (event.key === "+" || event.key === "=") closer(0.9);
    else if (event.key === "-") closer(1 / 0.9);
    else return;
    event.preventDefault();
  });
  canvas.hidden = false;
  document.getElementById("still").hidden = true;
  document.getElementById("hint").hidden = false;
  new ResizeObserver(ask).observe(canvas);
  ask();
})();
