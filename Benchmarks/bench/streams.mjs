// What Benchmarks/streams runs in a hook's isolate and in node. `given` stands in front: the case and how much.
const CHUNK = 64 * 1024;
const bytes = new Uint8Array(CHUNK);
for (let i = 0, seed = 1; i < CHUNK; i++) { seed = (seed * 16807) % 2147483647; bytes[i] = seed % 3 === 0 ? 32 : 97 + (seed % 23); }
const text = String.fromCharCode(...bytes.subarray(0, CHUNK / 2)) + String.fromCharCode(...bytes.subarray(CHUNK / 2));

/// A source that gives the same chunk again and again.
const source = (chunk, count) => new ReadableStream({ pull(out) { if (count-- > 0) out.enqueue(chunk); else out.close(); } });

async function drain(stream, sizeOf) {
  const reader = stream.getReader();
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return size;
    size += sizeOf(value);
  }
}

/// A byte stream read into one buffer of the reader's.
async function drainBytes(count) {
  const stream = new ReadableStream({
    type: "bytes",
    pull(out) {
      const request = out.byobRequest;
      if (count-- > 0) { request.respond(request.view.byteLength); return; }
      out.close();
      request.respond(0);
    },
  });
  const reader = stream.getReader({ mode: "byob" });
  let view = new Uint8Array(CHUNK), size = 0;
  for (;;) {
    const { value, done } = await reader.read(view);
    if (done) return size;
    size += value.length;
    view = new Uint8Array(value.buffer);
  }
}

const length = (chunk) => chunk.length;
const through = (chunk, transform) => (count) => drain(source(chunk, count).pipeThrough(transform()), length);
async function packed() {
  const reader = source(bytes, 16).pipeThrough(new CompressionStream("gzip")).getReader(), parts = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return parts;
    parts.push(value);
  }
}
const cases = {
  transform: through(bytes, () => new TransformStream({ transform(chunk, out) { out.enqueue(chunk); } })),
  identity: through(bytes, () => new TransformStream()),
  read: (count) => drain(source(bytes, count), length),
  bytes: drainBytes,
  decode: through(bytes, () => new TextDecoderStream()),
  encode: through(text, () => new TextEncoderStream()),
  gzip: async (count) => { await drain(source(bytes, count).pipeThrough(new CompressionStream("gzip")), length); return count * CHUNK; },
  async gunzip(count) {
    const parts = await packed();
    let size = 0;
    for (let left = count; left > 0; left -= 16) {
      const all = [...parts];
      const one = new ReadableStream({ pull(out) { if (all.length > 0) out.enqueue(all.shift()); else out.close(); } });
      size += await drain(one.pipeThrough(new DecompressionStream("gzip")), length);
    }
    return size;
  },
};

export default {
  async onRequest() {
    const size = await cases[given.name](given.chunks);
    if (size !== given.chunks * CHUNK) throw new Error(`${given.name}: ${size} bytes arrived instead of ${given.chunks * CHUNK}`);
  },
};
