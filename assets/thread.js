// A further thread of the sampler for relaxed SIMD. It is sent the compiled kernels.wasm first, and from
// then on lists of requests, in bytes, and answers the last one of each list.
let file;

function ask(request) {
  const room = file.room(request.length) >>> 0;
  new Uint8Array(file.memory.buffer, room, request.length).set(request);
  const length = file.answer() >>> 0;
  return new Uint8Array(file.memory.buffer, file.answer_start() >>> 0, length).slice();
}

onmessage = ({ data }) => {
  if (file) {
    const answer = data.map(ask).at(-1);
    postMessage(answer, [answer.buffer]);
  } else {
    file = new WebAssembly.Instance(data).exports;
    postMessage(null);
  }
};
