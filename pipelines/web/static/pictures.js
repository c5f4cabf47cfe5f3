// Pictures as they come from the server: a head, then one JPEG per camera. `drawing.py` packs them.

const HEAD = 20;

/** Unpack one message: {step, echo, spent, jpegs}; throws a RangeError if it is cut short. */
export function unpack(buffer) {
  const view = new DataView(buffer);
  const count = view.getUint32(16, true);
  const jpegs = [];
  let at = HEAD;
  for (let i = 0; i < count; i += 1) {
    const size = view.getUint32(at, true);
    jpegs.push(new Blob([new Uint8Array(buffer, at + 4, size)], { type: "image/jpeg" }));
    at += 4 + size;
  }
  return { step: view.getUint32(0, true), echo: view.getFloat64(4, true), spent: view.getFloat32(12, true), jpegs };
}

/** Draw the pictures of one moment onto canvases, all of them decoded first so that they stay in step. */
export async function draw(jpegs, canvases) {
  const bitmaps = await Promise.all(jpegs.map((jpeg) => createImageBitmap(jpeg)));
  bitmaps.forEach((bitmap, i) => {
    const canvas = canvases[i];
    if (canvas.width !== bitmap.width) canvas.width = bitmap.width;
    if (canvas.height !== bitmap.height) canvas.height = bitmap.height;
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
  });
}

/** Shows live pictures: the newest at any time; one that is overtaken while another is decoded is left out. */
export class Live {
  constructor(canvases, shown) {
    this.canvases = canvases;
    this.shown = shown;
    this.next = null;
    this.busy = false;
  }

  async offer(buffer) {
    this.next = buffer;
    if (this.busy) return;
    this.busy = true;
    while (this.next) {
      const moment = unpack(this.next);
      this.next = null;
      await draw(moment.jpegs, this.canvases);
      this.shown(moment);
    }
    this.busy = false;
  }
}
