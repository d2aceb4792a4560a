// Serves fingerprint.wasm to the parity suite: a JSON line and bytes in, a JSON line and bytes out.
import { readFileSync, readSync, writeSync } from "node:fs";

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const instance = new WebAssembly.Instance(module, {});

const readExactly = (length) => {
  const buffer = Buffer.alloc(length);
  for (let filled = 0; filled < length; ) {
    const count = readSync(0, buffer, filled, length - filled, null);
    if (count === 0) process.exit(0);
    filled += count;
  }
  return buffer;
};

const readLine = () => {
  const bytes = [];
  for (let byte = readExactly(1)[0]; byte !== 10; byte = readExactly(1)[0]) bytes.push(byte);
  return Buffer.from(bytes).toString();
};

for (;;) {
  const { call, args, length } = JSON.parse(readLine());
  const payload = readExactly(length);
  let result = 0;
  let answer = Buffer.alloc(0);
  if (call === "write") new Uint8Array(instance.exports.memory.buffer).set(payload, args[0]);
  else if (call === "read") answer = Buffer.from(instance.exports.memory.buffer, args[0], args[1]);
  else if (call === "imports") result = WebAssembly.Module.imports(module).length;
  else result = instance.exports[call](...args);
  writeSync(1, JSON.stringify({ result: result ?? 0, length: answer.length }) + "\n");
  for (let sent = 0; sent < answer.length; ) sent += writeSync(1, answer, sent);
}
