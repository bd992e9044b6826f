// Pictures made smaller exactly as the server does it, so that the network sees the same numbers.

/** For each place of `to` places: which two of `from` places it lies between, and their weights in 1/2048. */
function taps(from, to) {
  const [first, second, weights] = [new Int32Array(to), new Int32Array(to), new Int32Array(2 * to)];
  for (let place = 0; place < to; place++) {
    let at = Math.fround((place + 0.5) * (from / to) - 0.5);
    let low = Math.floor(at);
    at = Math.fround(at - low);
    if (low < 0) [low, at] = [0, 0];
    if (low >= from - 1) [low, at] = [from - 1, 0];
    first[place] = low;
    second[place] = Math.min(low + 1, from - 1);
    weights[2 * place] = Math.round((1 - at) * 2048);
    weights[2 * place + 1] = Math.round(at * 2048);
  }
  return { first, second, weights };
}

/**
 * Bilinear, in the integers that OpenCV's resize computes with. source: ImageData. Returns BGR, Uint8Array of
 * width * height * 3.
 */
export function resize(source, width, height) {
  const { data } = source;
  const [across, down] = [taps(source.width, width), taps(source.height, height)];
  const rows = [new Int32Array(3 * width), new Int32Array(3 * width)];
  const known = [-1, -1]; // which row of the source each of them holds
  const row = (y, other) => {
    const held = known.indexOf(y);
    if (held >= 0) return held;
    const slot = other === 0 ? 1 : 0;
    const line = 4 * y * source.width;
    for (let x = 0; x < width; x++) {
      const [left, right] = [line + 4 * across.first[x], line + 4 * across.second[x]];
      const [a, b] = [across.weights[2 * x], across.weights[2 * x + 1]];
      for (let channel = 0; channel < 3; channel++) {
        rows[slot][3 * x + 2 - channel] = data[left + channel] * a + data[right + channel] * b;
      }
    }
    known[slot] = y;
    return slot;
  };
  const result = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    const upper = row(down.first[y], known.indexOf(down.second[y]));
    const lower = row(down.second[y], upper);
    const [a, b] = [down.weights[2 * y], down.weights[2 * y + 1]];
    for (let at = 0; at < 3 * width; at++) {
      const value = ((a * (rows[upper][at] >> 4)) >> 16) + ((b * (rows[lower][at] >> 4)) >> 16) + 2;
      result[3 * width * y + at] = value >> 2;
    }
  }
  return result;
}
