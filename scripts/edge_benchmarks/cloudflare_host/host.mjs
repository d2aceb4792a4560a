// Runs both Workers on loopback: the Python one in Pyodide with Cloudflare's SDK, the kernel Worker in workerd, and
// between them the bindings that wrangler.jsonc names, as miniflare has them. Prints {"url", "control"}: the edge, and
// where to POST what is to be done behind its back.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const [staged, sdk, engines] = process.argv.slice(2);
const installed = createRequire(path.join(engines, "package.json"));
const { Log, LogLevel, Miniflare } = installed("miniflare");
const { loadPyodide } = installed("pyodide");

const repository = path.resolve(import.meta.dirname, "../../..");
const WASM = "wasm/sonica_fingerprint/fingerprint.wasm";
const workerFolder = "edge_functions/cloudflare_worker";

const environment = (file) => {
  const lines = readFileSync(path.join(repository, workerFolder, file), "utf8").split("\n");
  return JSON.parse(lines.map((line) => line.replace(/(^|\s)\/\/ .*$/, "")).join("\n")).env.dev;
};
const edge = environment("wrangler.jsonc");
const kernel = environment("kernel/wrangler.jsonc");
const ids = (namespaces) => Object.fromEntries((namespaces ?? []).map(({ binding, id }) => [binding, id]));
const FEW = { limit: 9, period: 60 }; // so that a test can reach it
const kernelModule = (type, name) => ({ type, path: path.join(repository, name) });

const started = performance.now();
const miniflare = new Miniflare({
  cf: false,
  inspectorPort: 0,
  log: new Log(LogLevel.ERROR),
  workers: [
    {
      name: "edge", // stands for the Python Worker, whose own runtime cannot be had here: its bindings are real
      compatibilityDate: "2026-07-01",
      modules: true,
      script: readFileSync(path.join(import.meta.dirname, "bindings_worker.mjs"), "utf8"),
      kvNamespaces: ids(edge.kv_namespaces),
      ratelimits: Object.fromEntries(edge.ratelimits.map(({ name, ...limit }) => [name, { ...limit, simple: FEW }])),
      serviceBindings: { [edge.services[0].binding]: "kernel" },
    },
    {
      name: "kernel",
      compatibilityDate: "2026-07-01",
      modulesRoot: repository,
      modules: [
        kernelModule("ESModule", `${workerFolder}/kernel/kernel_worker.mjs`),
        kernelModule("ESModule", `${workerFolder}/kernel/bundle_watch.mjs`),
        kernelModule("ESModule", `${workerFolder}/kernel/samples.mjs`),
        kernelModule("ESModule", "wasm/browser/sonica-bundle.mjs"),
        kernelModule("ESModule", "wasm/browser/sonica-fingerprint.mjs"),
        kernelModule("CompiledWasm", WASM),
      ],
      bindings: { ...kernel.vars, HOT_POLL_SECONDS: 0, HOT_PUBLIC_KEYS: process.argv[5] ?? "" },
      r2Buckets: Object.fromEntries(kernel.r2_buckets.map(({ binding, bucket_name }) => [binding, bucket_name])),
    },
  ],
});

/** Call a binding in workerd; a promise, as it is in production. */
async function call(binding, method, given, data) {
  const form = new FormData();
  form.set("call", JSON.stringify({ binding, method, given }));
  if (data !== undefined) form.set("data", new Blob([data]));
  const { headers, body } = new Request("http://edge/", { method: "POST", body: form });
  const init = { method: "POST", headers: [...headers], body, duplex: "half" };
  const response = await miniflare.dispatchFetch("http://edge/", init);
  if (!response.headers.get("content-type")) return response.arrayBuffer();
  const result = await response.json();
  if (!response.ok) throw new Error(result.error);
  return result;
}
const bound = (binding, ...methods) =>
  Object.fromEntries(methods.map((method) => [method, (...given) => call(binding, method, given)]));

let kernelIsAway = false;
const kernelCall = (method, data, ...given) =>
  kernelIsAway ? Promise.reject(new Error("it is away")) : call("KERNEL", method, given, data);
const env = {
  ...edge.vars,
  ANSWERS: bound("ANSWERS", "get", "put"),
  RATE_LIMITER: bound("RATE_LIMITER", "limit"),
  KERNEL: {
    extract: (data, form, speed) => kernelCall("extract", data, form, speed),
    recognize: (fingerprint) => kernelCall("recognize", fingerprint),
    hotIndex: () => kernelCall("hotIndex"),
  },
};
const cache = bound("CACHE", "match", "put", "delete");
globalThis.caches = {
  default: {
    match: (address) => cache.match(address).then((text) => (text === null ? undefined : new Response(text))),
    put: async (address, response) => cache.put(address, await response.text(), [...response.headers]),
  },
};
const answers = await miniflare.getKVNamespace("ANSWERS", "edge");
const bundles = await miniflare.getR2Bucket("HOT_BUNDLES", "kernel");

await miniflare.ready;
const times = { bindings_ms: performance.now() - started };

const printed = [];
const before = performance.now();
const python = await loadPyodide({ stdout: (line) => printed.push(line), stderr: (line) => printed.push(line) });
python.registerJsModule("_pyodide_entrypoint_helper", {
  cloudflareWorkersModule: { env, WorkerEntrypoint: class {} },
  cloudflareSocketsModule: {},
  patchWaitUntil() {},
});
python.registerJsModule("_cloudflare_compat_flags", { python_request_headers_preserve_commas: true });
const mount = (folder, at) => {
  python.FS.mkdirTree(at);
  python.FS.mount(python.FS.filesystems.NODEFS, { root: path.resolve(folder) }, at);
};
mount(staged, "/session/metadata");
mount(path.join(sdk, "workers"), "/session/sdk/workers");
python.runPython(`import sys; sys.path[:0] = ["/session/metadata", "/session/sdk"]; sys.dont_write_bytecode = True`);
times.pyodide_ms = performance.now() - before;
const entry = python.pyimport("entry");
const PyRequest = python.pyimport("workers").Request;
times.entry_ms = performance.now() - before - times.pyodide_ms;

const waiting = new Set();
const context = {
  waitUntil(promise) {
    const settled = Promise.resolve(promise.copy?.() ?? promise).catch((error) => printed.push(String(error)));
    waiting.add(settled);
    settled.finally(() => waiting.delete(settled));
  },
};

/** Serve a request as the runtime does: an instance of the entrypoint for each. */
async function served(request) {
  const worker = entry.Default(context, env);
  const response = await worker.fetch(PyRequest(request));
  worker.destroy();
  return response.js_object ?? response;
}

const HOP_BY_HOP = ["connection", "expect", "keep-alive", "transfer-encoding"];
const PORTION_BYTES = 16_384;

/** The request as the runtime would give it; its body streams, from here. */
function webRequest(incoming, body) {
  const headers = new Headers(incoming.headers);
  for (const name of HOP_BY_HOP) headers.delete(name);
  if (headers.has("x-lie-content-length")) headers.set("content-length", headers.get("x-lie-content-length"));
  const portions = Array.from({ length: Math.ceil(body.length / PORTION_BYTES) }, (_, n) =>
    new Uint8Array(body.subarray(n * PORTION_BYTES, (n + 1) * PORTION_BYTES)),
  );
  const stream = ["GET", "HEAD"].includes(incoming.method) ? undefined : ReadableStream.from(portions);
  const url = `http://${incoming.headers.host}${incoming.url}`;
  return new Request(url, { method: incoming.method, headers, body: stream, duplex: "half" });
}

async function answered(incoming, outgoing) {
  const response = await served(webRequest(incoming, Buffer.concat(await Array.fromAsync(incoming))));
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}

/** Time the Python Worker alone, in ms of CPU: its bindings answer at once, what they answered the first time. */
async function handling({ base64, type, repeats }) {
  const body = Buffer.from(base64, "base64");
  const init = { method: "POST", headers: { "content-type": type }, body };
  const request = () => new Request("http://edge/v1/recognize", init);
  const answers = await (await served(request())).json();
  const real = { ...env, caches: globalThis.caches };
  const first = new Map();
  const remembered = (name) => async (...given) => {
    if (!first.has(name)) first.set(name, await real.KERNEL[name](...given));
    return first.get(name);
  };
  env.KERNEL = { extract: remembered("extract"), recognize: remembered("recognize"), hotIndex: remembered("hotIndex") };
  env.ANSWERS = { get: async () => null, put: async () => {} };
  env.RATE_LIMITER = { limit: async () => ({ success: true }) };
  globalThis.caches = { default: { match: async () => undefined, put: async () => {} } };
  const spent = [];
  for (let turn = 0; turn < repeats + 5; turn += 1) {
    const { user, system } = process.cpuUsage();
    await (await served(request())).arrayBuffer();
    await Promise.all(waiting);
    const usage = process.cpuUsage();
    spent.push((usage.user + usage.system - user - system) / 1000);
  }
  ({ caches: globalThis.caches } = real);
  Object.assign(env, real, { caches: undefined });
  return { tier: answers.tier, cpu_ms: spent.slice(5) };
}

/** What the Workers hold: Python's heap; of the kernel Worker's isolate JavaScript's, and one memory of the kernel. */
async function memory() {
  const socket = new WebSocket(`${await miniflare.getInspectorURL()}core:user:kernel`);
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  const ask = (id, method) =>
    new Promise((resolve) => {
      socket.addEventListener("message", ({ data }) => JSON.parse(data).id === id && resolve(JSON.parse(data).result));
      socket.send(JSON.stringify({ id, method }));
    });
  const { usedSize, embedderHeapUsedSize } = await ask(1, "Runtime.getHeapUsage");
  socket.close();
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(path.join(repository, WASM))), {});
  return {
    python_heap_bytes: python._module.HEAP8.length,
    kernel_heap_bytes: usedSize + embedderHeapUsedSize,
    wasm_memory_bytes: exports.memory.buffer.byteLength,
  };
}

const controls = {
  handling,
  memory,
  times: () => times,
  variables: (values) => void Object.assign(env, values),
  settle: async () => Promise.all(waiting),
  printed: () => printed.splice(0),
  kv: async () => (await call("ANSWERS", "list", [])).keys,
  get_kv: (name) => call("ANSWERS", "get", [name]),
  put_kv: ({ name, value }) => call("ANSWERS", "put", [name, value]),
  delete_kv: (name) => call("ANSWERS", "delete", [name]),
  put_cache: ({ name, value }) =>
    cache.put(`${env.ORIGIN_URL}/edge/${name}`, value, [["cache-control", "max-age=600"]]),
  delete_cache: (name) => cache.delete(`${env.ORIGIN_URL}/edge/${name}`),
  put_object: async ({ key, base64 }) => void (await bundles.put(key, Buffer.from(base64, "base64"))),
  delete_object: (key) => bundles.delete(key),
  kernel: async ({ method, base64, form }) => {
    const data = method === "hotIndex" ? undefined : Buffer.from(base64, "base64");
    const result = await call("KERNEL", method, form ? [form] : [], data);
    return result instanceof ArrayBuffer ? { base64: Buffer.from(result).toString("base64") } : result;
  },
  kernel_is_away: (away) => void (kernelIsAway = away),
};

async function controlled(incoming, outgoing) {
  const { name, value } = JSON.parse(Buffer.concat(await Array.fromAsync(incoming)).toString());
  const result = await (async () => controls[name](value))().catch((error) => ({ error: String(error) }));
  outgoing.end(JSON.stringify(result ?? null));
}

const listening = (handle) =>
  new Promise((resolve) => {
    const server = createServer((incoming, outgoing) =>
      handle(incoming, outgoing).catch((error) => {
        console.error(error);
        outgoing.destroy();
      }),
    );
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${server.address().port}`));
  });

process.stdin.on("end", () => miniflare.dispose().then(() => process.exit(0))).resume();
console.log(JSON.stringify({ url: await listening(answered), control: await listening(controlled) }));
